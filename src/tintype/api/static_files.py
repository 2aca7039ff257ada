"""The static files of a page: read once, and sent with their digests."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec
from starlette.responses import Response

from tintype.api.call import Call
from tintype.domain import conditions
from tintype.errors import NotFound

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


class _File(msgspec.Struct, frozen=True):
    content: bytes
    media_type: str
    etag: str


class StaticFiles:
    """The files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.name: _read(path) for path in folder.iterdir() if path.suffix in _TYPES}

    def response(self, call: Call, name: str) -> Response:
        """Return a file, or 304 if the client has it; raises NotFound."""
        file = self._files.get(name)
        if file is None:
            raise NotFound("The resource could not be found.")
        return cacheable(call, file.content, file.media_type, file.etag)


def cacheable(call: Call, content: bytes, media_type: str, etag: str) -> Response:
    """Return some content, or 304 if the client has it; clients ask again each time."""
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if conditions.is_known(conditions.parse_tags(call.headers.get("if-none-match")), etag):
        return Response(None, 304, headers)
    return Response(content, 200, headers, media_type)


def etag_of(content: bytes) -> str:
    """Return the validator of some content."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _read(path: Path) -> _File:
    content = path.read_bytes()
    return _File(content, _TYPES[path.suffix], etag_of(content))
