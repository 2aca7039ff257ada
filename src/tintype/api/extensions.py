"""The ASGI extensions that our server offers to the application."""

from typing import Final

DIRECT: Final = "tintype.direct_body"
"""The ASGI extension for image data: a call that allows long silences, and returns a source or None.

The source reads the body without copies; None means to read it with `receive`.
"""
SILENCE: Final = "tintype.silence"
"""The ASGI extension for silent clients: a call that returns why the server stopped waiting, or None."""
TAKEN: Final = "tintype.taken"
"""The ASGI extension to await until the client has taken what was sent: False if it has disconnected."""
STOPPING: Final = "tintype.stopping"
"""The ASGI extension that ends endless responses: an event, set when the server stops."""
