"""Every operation of the image API, once, as data: a function gives the request and how its answer is read.

Nothing here sends anything. `aio` and `blocking` send them; the two compatible interfaces, `glance` and
`pyrax`, are made of them too.
"""
