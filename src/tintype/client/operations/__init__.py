"""Every operation of the image API as data: functions return requests that can parse their responses.

Nothing here sends anything: `aio` and `blocking` do. The two compatible interfaces, `glance` and `pyrax`,
use the same operations.
"""
