"""The URL by which clients reach the service: the configured one, else the one that the request was sent to.

A proxy hides the original URL. Trusted proxies send it in `X-Forwarded-Proto`, `-Host`, `-Port` and
`-Prefix`; from any other client these headers are ignored.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_NAME: Final = r"(?:[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])"
_HOST: Final = re.compile(rf"{_NAME}(?::[0-9]{{1,5}})?")
_NAME_ALONE: Final = re.compile(_NAME)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_PREFIX: Final = re.compile(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]{1,64}){1,8}")
_LAST_PORT: Final = 65_535
_DEFAULT_PORTS: Final = frozenset({"80", "443"})


def base_url(scope: Scope, public_url: str | None) -> str:
    """Return the URL of the service for links and catalogues, without a slash at the end.

    An invalid `Host` is replaced by the address of the socket.
    """
    if public_url is not None:
        return public_url.rstrip("/")
    host = _last(scope, b"host")
    if not _HOST.fullmatch(host):
        server = scope.get("server") or ("localhost", None)
        host = server[0] if server[1] is None else f"{server[0]}:{server[1]}"
    return f"{scope['scheme']}://{host}{scope.get('root_path', '')}"


def base_path(url: str) -> str:
    """Return the path of a base URL: empty, or the prefix that a proxy adds to every path."""
    return urlsplit(url).path


class ForwardedRequests(ProxyHeadersMiddleware):
    """Applies the X-Forwarded-* headers of trusted proxies.

    uvicorn applies the client's address and scheme; this adds the host and the prefix of the path.
    Malformed values are ignored.
    """

    def __init__(self, app: ASGIApp, trusted: list[str]) -> None:
        super().__init__(app, trusted)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Rewrite `Host` and `root_path`, then call uvicorn's middleware."""
        client = scope.get("client")
        if scope["type"] == "http" and client and client[0] in self.trusted_hosts:
            host, prefix = _forwarded_host(scope), _last(scope, b"x-forwarded-prefix").rstrip("/")
            headers = scope["headers"]
            if host:
                headers = [(name, host if name == b"host" else value) for name, value in headers]
            if _PREFIX.fullmatch(prefix):
                scope = {**scope, "root_path": prefix}
            scope = {**scope, "headers": headers}
        await super().__call__(scope, receive, send)  # type: ignore[arg-type]


def _forwarded_host(scope: Scope) -> bytes | None:
    """Return the host that the client used, with any non-default port; None if it is not forwarded."""
    forwarded, port = _last(scope, b"x-forwarded-host"), _last(scope, b"x-forwarded-port")
    host = forwarded if _HOST.fullmatch(forwarded) else _last(scope, b"host")
    fits = _PORT.fullmatch(port) and int(port) <= _LAST_PORT and port not in _DEFAULT_PORTS
    if fits and _NAME_ALONE.fullmatch(host):
        host = f"{host}:{port}"
    return host.encode("latin-1") if host else None


def _last(scope: Scope, name: bytes) -> str:
    """Return the last value of a header: of those that proxies added, the one from the trusted proxy."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[-1].decode("latin-1").rpartition(",")[2].strip() if values else ""
