"""The HTTP client of controllers: `get`, `post` and so on return a response and its body."""

import dataclasses
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import httpx2
import msgspec

from tintype.client.blocking.transport import Streamed, Transport
from tintype.client.files import Source
from tintype.client.requests import OCTETS, Request, reading


@dataclasses.dataclass
class Response:
    """A response. A streamed one has no `content`."""

    status_code: int
    headers: Mapping[str, str]
    """Lookups ignore the case of names."""
    content: bytes = b""

    def __post_init__(self) -> None:
        self.headers = httpx2.Headers(dict(self.headers))

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Return the parsed JSON of the body."""
        return msgspec.json.decode(self.content)

    @property
    def ok(self) -> bool:
        """Return whether the status is a success."""
        return self.status_code < 400


class HTTPClient:
    """Sends for the controllers over a transport."""

    def __init__(self, transport: Transport, *, endpoint: str | None = None) -> None:
        self.transport = transport
        weakref.finalize(self, transport.close)  # these clients are never closed
        self._endpoint = endpoint

    @property
    def endpoint(self) -> str:
        """Return the root of the service."""
        return self._endpoint or self.transport.access().endpoint

    @property
    def auth_token(self) -> str | None:
        """Return the token that requests carry."""
        return self.transport.access().headers.get("X-Auth-Token")

    def get(self, url: str, **kwargs: Any) -> tuple[Response, Any]:
        """Send a GET."""
        return self._request("GET", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> tuple[Response, Any]:
        """Send a HEAD."""
        return self._request("HEAD", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> tuple[Response, Any]:
        """Send a POST."""
        return self._request("POST", url, **kwargs)

    def put(self, url: str, **kwargs: Any) -> tuple[Response, Any]:
        """Send a PUT."""
        return self._request("PUT", url, **kwargs)

    def patch(self, url: str, **kwargs: Any) -> tuple[Response, Any]:
        """Send a PATCH."""
        return self._request("PATCH", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> tuple[Response, Any]:
        """Send a DELETE."""
        return self._request("DELETE", url, **kwargs)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> tuple[Response, Any]:
        """Send JSON (a dict or list, or text that is JSON already), or bytes as they come.

        `url` is below the endpoint, with a slash in front or without; `params` go behind it.
        """
        url = url if url.startswith("/") else f"/{url}"
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, doseq=True)
        data = json if data is None else data
        headers = {name: value for name, value in (headers or {}).items() if value is not None}
        if headers.get("Content-Type") == OCTETS:
            return self._send_bytes(method, url, headers, data)
        body = msgspec.Raw(data.encode()) if isinstance(data, str) else data
        request = Request(method, url, lambda reply: reply, headers=headers, body=body)
        if method == "GET" and url.partition("?")[0].endswith("/file"):
            return self._stream(request)
        reply = self.transport.send(request)
        response = Response(reply.status, reply.headers, reply.body)
        return response, _body(response, reply.body)

    def _send_bytes(self, method: str, url: str, headers: dict[str, str], data: Any) -> tuple[Response, Any]:
        source = Source(data.encode() if isinstance(data, str) else data)
        try:
            if source.size is not None:
                headers["Content-Length"] = str(source.size)
            request = Request(method, url, lambda reply: reply, headers=headers)
            with self.transport.stream(request, source.pieces()) as streamed:
                body = b"".join(streamed.pieces())
                response = Response(streamed.status, streamed.headers, body)
                return response, _body(response, body)
        finally:
            source.close()

    def _stream(self, request: Request[Any]) -> tuple[Response, Any]:
        """Yield the body of a response; the connection is released at the end or when closed."""
        stack = ExitStack()
        streamed = stack.enter_context(self.transport.stream(request))
        response = Response(streamed.status, streamed.headers)
        if streamed.status == 204:
            stack.close()
            return response, None
        return response, _pieces(streamed, stack)


def _pieces(streamed: Streamed, stack: ExitStack) -> Iterator[bytes]:
    with stack:
        yield from streamed.pieces()


def _body(response: Response, body: bytes) -> Any:
    if not body:
        return None
    if "json" in response.headers.get("content-type", ""):
        with reading():
            return msgspec.json.decode(body)
    return body.decode(errors="replace")
