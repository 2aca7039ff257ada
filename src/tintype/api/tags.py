"""Tags over HTTP."""

from starlette.responses import Response

from tintype.api import wire
from tintype.api.call import Call
from tintype.api.operation import Answer, describe
from tintype.services.images import Images


class TagsApi:
    """Handlers of `/v2/images/{id}/tags/{tag}`."""

    def __init__(self, images: Images) -> None:
        self._images = images

    @describe(Answer(204), errors=(409, 413))
    async def add(self, call: Call) -> Response:
        """Add a tag to an image."""
        await self._images.add_tag(call.caller, call.params["id"], call.params["tag"])
        return wire.no_content()

    @describe(Answer(204), errors=(409,))
    async def remove(self, call: Call) -> Response:
        """Remove a tag from an image."""
        await self._images.remove_tag(call.caller, call.params["id"], call.params["tag"])
        return wire.no_content()
