"""The ASGI extensions that our server offers to the application."""

from typing import Final

DIRECT: Final = "tintype.direct_body"
"""The ASGI extension for image data: a call that makes a server patient, and gives a source or None.

The source gives the body without copies; None leaves it to `receive`.
"""
SILENCE: Final = "tintype.silence"
"""The ASGI extension by which a server waits no longer for a body: a call that gives the reason, or None."""
TAKEN: Final = "tintype.taken"
"""The ASGI extension by which a server tells when a client has taken what was sent: a call to await.

It gives False where the client is gone.
"""
STOPPING: Final = "tintype.stopping"
"""The ASGI extension by which a server tells answers without an end that it stops: an event."""
