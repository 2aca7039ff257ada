"""A client without a network: a function answers its requests."""

from collections.abc import Callable

import httpx2

from tintype.client import Client

Answer = Callable[[httpx2.Request], httpx2.Response]


class Answering(httpx2.BaseTransport):
    """A transport that calls a function for each request; the response's bytes are not read yet."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        made = self._answer(request)
        return httpx2.Response(made.status_code, headers=made.headers, stream=httpx2.ByteStream(made.content))


def asking(answer: Answer) -> Client:
    """Return a client whose requests are answered by a function."""
    client = Client(endpoint="http://image", token="secret-token", attempts=3)
    client.close()
    client.transport._http = httpx2.Client(transport=Answering(answer))
    return client
