"""A browser without a page: it keeps cookies and sends the requests of the dashboard's scripts."""

from typing import Any

import httpx2

from inprocess import PASSWORD, Service

AJAX = {"X-Requested-With": "XMLHttpRequest"}


class Browser:
    """The session of one user."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.session: dict[str, Any] = {}

    async def log_in(self, name: str, password: str = PASSWORD, **more: str) -> httpx2.Response:
        body = {"username": name, "password": password, **more}
        answer = await self.http.post("/api/session/", json=body, headers=AJAX)
        if answer.status_code == 200:
            self.session = answer.json()
        return answer

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request below `/api/glance/` as the page's scripts do."""
        token = self.http.cookies.get("csrftoken") or ""
        headers = {**AJAX, "X-CSRFToken": token, **(options.pop("headers", None) or {})}
        return await self.http.request(method, f"/api/glance/{path}", headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Any:
        answer = await self.send("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def make(self, **attributes: Any) -> dict[str, Any]:
        answer = await self.send(
            "PUT", "images/", json={"name": "disk", "visibility": "private", **attributes}
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


async def browser(service: Service, name: str, **more: str) -> Browser:
    """Return a browser in which a user is logged in."""
    if name == "admin":
        await service.parts.identity.users.update(name, password=PASSWORD)
    transport = service.client._transport
    opened = Browser(httpx2.AsyncClient(transport=transport, base_url="http://testserver"))
    answer = await opened.log_in(name, **more)
    assert answer.status_code == 200, answer.text
    return opened
