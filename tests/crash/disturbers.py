"""What goes on beside the kills of a long run: slow readers, and floods of logins and lists."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence

import httpx2
from test_crashes import Known, RandomClient

LOGINS = "/identity/v3/auth/tokens"


class SlowReader(RandomClient):
    """One that asks for the bytes of an image and hardly takes any."""

    def __init__(self, url: str, token: str, seed: int, known: Known) -> None:
        super().__init__(url, token, seed)
        self._known, self._token = known, token

    def acts(self) -> Sequence[Callable[[], None]]:
        return (self.read,)

    def read(self) -> None:
        images = list(self._known.active)
        if not images:
            self._http.get("/v2/images?limit=1")  # ends with the server
            time.sleep(0.05)
            return
        address = self._http.base_url
        request = f"GET /v2/images/{self._random.choice(images)}/file HTTP/1.1\r\nHost: x\r\n"
        try:
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.settimeout(20)
                connection.connect((address.host, address.port))
                connection.sendall(f"{request}X-Auth-Token: {self._token}\r\n\r\n".encode())
                for _ in range(self._random.randrange(10)):
                    if not connection.recv(1000):
                        return
                    time.sleep(0.05)
        except OSError as error:
            raise httpx2.TransportError(str(error)) from None


class Flood(RandomClient):
    """One that sends wrong logins, leaves some before they are answered, and lists by changing filters."""

    def acts(self) -> Sequence[Callable[[], None]]:
        return (self.log_in, self.list, self.list)

    def log_in(self) -> None:
        user = {
            "name": f"nobody-{self._random.randrange(1000)}",
            "password": "x",
            "domain": {"id": "default"},
        }
        auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        with contextlib.suppress(httpx2.ReadTimeout):
            answer = self._http.post(LOGINS, json=auth, timeout=self._random.choice((0.05, 20)))
            assert answer.status_code in {401, 429, 503}, answer.text

    def list(self) -> None:
        count = self._random.randint(1, 140)
        query = "&".join(f"p{self._random.randrange(10**6)}=1" for _ in range(count))
        answer = self._http.get(f"/v2/images?{query}")
        assert answer.status_code in {200, 400, 429, 503}, answer.text
