# Made by `make docs` of ../aio; do not edit.
"""Sends requests with the caller's access, retries them if that is safe, and raises errors."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import msgspec

from tintype import __version__
from tintype.client import errors, masking, retries
from tintype.client.blocking import io
from tintype.client.blocking.routing import Routing
from tintype.client.identity import Access, Identity
from tintype.client.requests import Listing, Reply, Request, reading

T = TypeVar("T")
Content = Iterator[bytes] | None
"""A streamed request body."""

_LARGEST: Final = 64 << 20
_LARGEST_ERROR: Final = 64 << 10
"""Most bytes read of an error response."""
_AGENT: Final = f"tintype/{__version__}"
_ACCEPTED: Final = {"Accept": "application/json, */*", "Accept-Encoding": "identity"}


class Streamed:
    """A response whose body has not been read yet."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    def pieces(self) -> Iterator[bytes]:
        """Yield the body in chunks; raises CommunicationError if the connection breaks."""
        with _map_errors():
            for piece in self._response.iter_raw():
                yield piece

    def body(self, limit: int, *, cut: bool = False) -> bytes:
        """Return the whole body; past the limit, cut it off or raise CommunicationError."""
        pieces, size = [], 0
        for piece in self.pieces():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                if cut:
                    break
                raise errors.CommunicationError(f"The answer has more than {limit} bytes.")
        return b"".join(pieces)[:limit]


class Transport:
    """Sends requests to one image service, as one identity. Safe for concurrent use."""

    def __init__(
        self,
        identity: Identity,
        *,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        timeout: float = 600.0,
        attempts: int = 5,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Create it; `timeout` is the longest wait for a byte, in seconds; `attempts` limits retries."""
        self.attempts = attempts
        self._identity = identity
        self._access: Access | None = None
        self._logging_in = io.Lock()
        masking.install()
        self._http = httpx2.Client(
            transport=Routing(_ssl_context(verify, cert)),
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 30.0)),
            headers={"User-Agent": _AGENT, **_ACCEPTED, **(headers or {})},
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, request: Request[T]) -> T:
        """Send a request and return its result; raises HTTPError, CommunicationError."""
        reply = self.reply(request)
        with reading():
            return request.read(reply)

    def each(self, listing: Listing[T]) -> Iterator[T]:
        """Iterate over all pages of a list."""
        following: Listing[T] | None = listing
        while following is not None:
            page = self.send(following)
            for item in page.items:
                yield item
            following = following.after(page)

    def reply(self, request: Request[Any]) -> Reply:
        """Send a request and return the response; retry it if that is safe."""
        for attempt in range(1, self.attempts + 1):
            try:
                with self.stream(request) as streamed:
                    return Reply(streamed.status, streamed.headers, streamed.body(_LARGEST))
            except errors.ClientError as failure:
                if attempt > 1 and request.method == "DELETE" and isinstance(failure, errors.NotFound):
                    return Reply(204, {})  # an earlier attempt, whose response was lost, has deleted it
                if attempt == self.attempts or not retries.may_repeat(request, failure):
                    raise
                io.sleep(retries.pause(attempt, failure))
        raise AssertionError  # unreachable: the last attempt returns or raises

    @contextlib.contextmanager
    def stream(self, request: Request[Any], content: Content = None) -> Iterator[Streamed]:
        """Send a request once, with an optional streamed body; yield the response before its body is read.

        If the token is refused, log in again and repeat it; with `content`, raise TokenRenewed.
        """
        access = self.access()
        response = self._open(request, access, content)
        try:
            if response.status_code == 401 and self._invalidate(access):
                if content is not None:
                    raise retries.TokenRenewed
                response.close()
                response = self._open(request, self.access(), None)
            if response.status_code >= 300:
                refused = Streamed(response)
                raise errors.of(refused.status, refused.headers, refused.body(_LARGEST_ERROR, cut=True))
            yield Streamed(response)
        finally:
            response.close()

    def access(self) -> Access:
        """Return the headers and the endpoint for requests; log in first if necessary."""
        with self._logging_in:
            if self._access is None or self._access.stale:
                self._access = self._log_in()
            return self._access

    def _invalidate(self, refused: Access) -> bool:
        """Invalidate refused access; return False if no other can be obtained."""
        with self._logging_in:
            if self._access is not refused:
                return True  # another request has already done so
            self._access = None
            return io.call(self._identity.invalidate)

    def _log_in(self) -> Access:
        step = io.call(self._identity.step, None)
        while isinstance(step, Request):
            with _map_errors():
                response = self._http.request(step.method, step.path, json=step.body)
            reply = Reply(response.status_code, Streamed(response).headers, response.content)
            if reply.status >= 300:
                raise errors.of(reply.status, reply.headers, reply.body)
            with reading():
                step = io.call(self._identity.step, reply)
        return step

    def _open(self, request: Request[Any], access: Access, content: Content) -> httpx2.Response:
        headers = {**access.headers, **request.headers}
        body: bytes | Content = content
        if request.body is not None:
            with _map_errors():
                body = msgspec.json.encode(request.body)
            headers.setdefault("Content-Type", "application/json")
        with _map_errors():
            built = self._http.build_request(
                request.method,
                f"{request.base or access.endpoint}{request.target}",
                headers=headers,
                content=body,
            )
            return self._http.send(built, stream=True)


@contextlib.contextmanager
def _map_errors() -> Any:
    """Convert the HTTP library's errors to the client's."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise retries.NotSent(f"The server cannot be reached: {error or type(error).__name__}.") from error
    except httpx2.LocalProtocolError as error:  # its message may contain a header's value, such as a token
        raise errors.ClientError(
            "The request cannot be sent: a header or the length of the body is invalid."
        ) from error
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise errors.CommunicationError(
            f"The connection broke off: {error or type(error).__name__}."
        ) from error
    except httpx2.InvalidURL as error:
        raise errors.InvalidEndpoint(str(error)) from error
    except UnicodeError as error:  # in a header, JSON or host name
        raise errors.ClientError(f"The request cannot be sent: {_shown(error)}.") from error


def _shown(error: UnicodeError) -> str:
    """Describe an encoding error without the text itself."""
    if isinstance(error, UnicodeEncodeError):
        return f"it has characters that are not {error.encoding.upper().replace('UTF-8', 'Unicode')}"
    return "the host name is invalid"


def _ssl_context(verify: bool | str, cert: str | tuple[str, str] | None) -> Any:
    """Return the `verify` argument of the HTTP library: True or an SSL context."""
    if verify is True and cert is None:
        return True
    import ssl  # slow to import, and only needed for custom settings

    place: dict[str, Any] = {}
    if isinstance(verify, str):
        place = {"capath" if Path(verify).is_dir() else "cafile": verify}
    try:
        context = ssl.create_default_context(**place)
    except OSError as error:
        raise _unreadable(f"The authorities of {verify}", error) from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert is not None:
        files = (cert,) if isinstance(cert, str) else cert
        try:
            context.load_cert_chain(*files)
        except OSError as error:
            raise _unreadable(f"The certificate and key of {' and '.join(files)}", error) from None
    return context


def _unreadable(what: str, error: OSError) -> errors.InvalidEndpoint:
    """Return the error for unreadable certificate files; for bad contents OpenSSL has only a code."""
    library = getattr(error, "library", None)
    return errors.InvalidEndpoint(
        f"{what} cannot be read: {'this is not PEM' if library else error.strerror or error}."
    )
