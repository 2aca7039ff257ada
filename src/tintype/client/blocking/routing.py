# Made by `make docs` of ../aio; do not edit.
"""Sends each request directly, or through the proxy that the environment names for its host."""

from typing import Any

import httpx2

from tintype.client import errors, proxies


class Routing(httpx2.BaseTransport):
    """Opens connections, directly or through a proxy when a host needs it.

    An unusable proxy therefore fails only the requests that would use it.
    """

    def __init__(self, verify: Any) -> None:
        self._verify = verify
        self._proxies: dict[tuple[str, str, int | None], str | None] = {}
        self._routes: dict[tuple[bool, str | None], httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; raises InvalidEndpoint if its proxy or the certificates cannot be used."""
        place = (request.url.scheme, request.url.host, request.url.port)
        if place not in self._proxies:
            self._proxies[place] = proxies.proxy_for(*place)
        way = (request.url.scheme == "https", self._proxies[place])
        if way not in self._routes:
            self._routes.setdefault(way, self._made(*way))
        return self._routes[way].handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        for route in self._routes.values():
            route.close()

    def _made(self, secure: bool, proxy: str | None) -> httpx2.HTTPTransport:
        try:  # CA certificates are loaded only for TLS: that takes a tenth of a second
            return httpx2.HTTPTransport(verify=self._verify if secure else False, proxy=proxy)
        except (httpx2.InvalidURL, ValueError):
            raise errors.InvalidEndpoint(
                "The proxy for this host has an address that makes no sense."
            ) from None
        except OSError as error:
            raise errors.InvalidEndpoint(
                f"The authorities of SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error.strerror or error}."
            ) from None
