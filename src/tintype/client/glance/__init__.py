"""The interface of python-glanceclient: a program written for it runs after changing its import.

    from tintype.client.glance import Client

    glance = Client("2", session=keystoneauth_session)   # or endpoint= and token=, or cloud="name"
    for image in glance.images.list():
        print(image.id)

A thin facade over `tintype.client.operations`; `docs/reference/client-names.md` maps every name.
"""

from tintype import __version__
from tintype.client.glance import exc
from tintype.client.glance.client import Client

__all__ = ["Client", "__version__", "exc"]
