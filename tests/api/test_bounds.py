"""What one user or project may hold at once, where nothing else bounds it: docs/explanation/limits.md."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from browsing import browser
from inprocess import Prepared, Service, running
from tintype.errors import Conflict, NotFound
from tintype.services.passwords import Hasher
from tintype.settings import DashboardSettings, IdentitySettings, ImageSettings, MetadefSettings

TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}


async def image(service: Service, who: str) -> str:
    body = {"disk_format": "raw", "container_format": "bare"}
    return f"/v2/images/{(await service.call(who, 'POST', '/v2/images', json=body)).json()['id']}"


async def test_application_credentials_of_a_user(prepared: Prepared, tmp_path: Path) -> None:
    """However many are asked for at once; one that is deleted makes room, other users are not concerned."""
    few = IdentitySettings(application_credentials=3)
    async with running(prepared, tmp_path, identity=few) as service:

        async def create(who: str, name: str) -> tuple[int, str]:
            user = (await service.parts.identity.tokens.validate(service.tokens[who])).caller.user_id
            path = f"/identity/v3/users/{user}/application_credentials"
            body = {"application_credential": {"name": name}}
            answer = await service.call(who, "POST", path, json=body)
            return answer.status_code, answer.text if answer.status_code != 201 else answer.json()[
                "application_credential"
            ]["links"]["self"]

        made = await asyncio.gather(*(create("alice", f"robot {number}") for number in range(6)))
        assert sorted(status for status, _ in made) == [201] * 3 + [403] * 3
        assert all("maximum of 3" in text for status, text in made if status == 403)
        assert (await create("bob", "robot"))[0] == 201
        own = next(text for status, text in made if status == 201)
        removed = await service.call("alice", "DELETE", own.removeprefix("http://testserver"))
        assert removed.status_code == 204
        assert (await create("alice", "another"))[0] == 201


async def test_a_credential_over_the_limit_is_refused_before_its_secret_is_hashed(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing is expensive: who has all the credentials allowed cannot keep the service busy with it."""
    async with running(prepared, tmp_path, identity=IdentitySettings(application_credentials=1)) as service:
        user = (await service.parts.identity.tokens.validate(service.tokens["alice"])).caller.user_id
        path = f"/identity/v3/users/{user}/application_credentials"
        first = {"application_credential": {"name": "robot"}}
        assert (await service.call("alice", "POST", path, json=first)).status_code == 201

        async def fail(self: Hasher, secret: str) -> str:
            raise AssertionError("a secret was hashed")

        monkeypatch.setattr(Hasher, "hash", fail)
        second = {"application_credential": {"name": "robot 2"}}
        assert (await service.call("alice", "POST", path, json=second)).status_code == 403


@pytest.mark.parametrize(
    ("field", "raised"), [("project_id", NotFound), ("user_id", NotFound), (None, Conflict)]
)
async def test_why_an_application_credential_cannot_be_stored(
    service: Service, field: str | None, raised: type[Exception]
) -> None:
    """A user or project that was deleted meanwhile is not told as a name that is taken."""
    caller = (await service.parts.identity.tokens.validate(service.tokens["alice"])).caller
    credentials, more = service.parts.identity.application_credentials, {"secret": "s", "expires_at": None}
    wished: dict[str, Any] = {
        "name": "robot",
        "description": None,
        "roles": (),
        "unrestricted": False,
        **more,
    }
    await credentials.create(caller, **wished)
    if field is not None:
        caller, wished["name"] = replace(caller, **{field: "gone"}), "robot 2"
    with pytest.raises(raised):
        await credentials.create(caller, **wished)


async def test_unfinished_uploads_of_a_project(prepared: Prepared, tmp_path: Path) -> None:
    """On all of its images together; one that ends makes room, other projects are not concerned."""
    async with running(prepared, tmp_path, images=ImageSettings(open_uploads=4)) as service:
        images = [await image(service, "alice") for _ in range(3)]

        async def begin(who: str, path: str) -> tuple[int, str]:
            answer = await service.call(who, "POST", f"{path}/uploads", headers=TUS)
            return answer.status_code, answer.headers.get("location", answer.text)

        begun = await asyncio.gather(*(begin("alice", path) for path in images * 3))
        assert sorted(status for status, _ in begun) == [201] * 4 + [413] * 5
        assert all("at most" in text or "may have 4" in text for status, text in begun if status == 413)
        assert (await begin("bob", await image(service, "bob")))[0] == 201
        own = next(text for status, text in begun if status == 201)
        ended = await service.call("alice", "DELETE", own.removeprefix("http://testserver"), headers=TUS)
        assert ended.status_code == 204
        assert (await begin("alice", images[0]))[0] == 201


async def test_unfinished_uploads_of_an_image(prepared: Prepared, tmp_path: Path) -> None:
    """Other images of the project are not affected."""
    async with running(prepared, tmp_path, images=ImageSettings(open_uploads_per_image=2)) as service:
        full = await image(service, "alice")
        begun = [await service.call("alice", "POST", f"{full}/uploads", headers=TUS) for _ in range(3)]
        assert [answer.status_code for answer in begun] == [201, 201, 413]
        assert "may have 2 unfinished uploads" in begun[2].text
        other = await image(service, "alice")
        assert (await service.call("alice", "POST", f"{other}/uploads", headers=TUS)).status_code == 201


async def test_size_of_a_namespace(prepared: Prepared, tmp_path: Path) -> None:
    """Its contents count, whichever request brings them; what is refused leaves no trace."""
    async with running(prepared, tmp_path, metadefs=MetadefSettings(namespace_bytes=300)) as service:
        path = "/v2/metadefs/namespaces"
        large = {"namespace": "large", "objects": [{"name": "o", "description": "x" * 300}]}
        assert (await service.call("admin", "POST", path, json=large)).status_code == 413
        assert (await service.call("admin", "POST", path, json={"namespace": "small"})).status_code == 201
        objects = [{"name": f"o{number}", "description": "x" * 60} for number in range(2)]
        made = [await service.call("admin", "POST", f"{path}/small/objects", json=each) for each in objects]
        assert [answer.status_code for answer in made] == [201, 413]
        assert "may have 300 bytes" in made[1].text
        listed = (await service.call("admin", "GET", f"{path}/small/objects")).json()["objects"]
        assert [each["name"] for each in listed] == ["o0"]


async def test_a_namespace_that_is_too_large_can_be_made_smaller(prepared: Prepared, tmp_path: Path) -> None:
    """One from the time of a higher limit: items are deleted from it, and none are added."""
    path, objects = "/v2/metadefs/namespaces", [{"name": f"o{number}"} for number in range(9)]
    async with running(prepared, tmp_path) as service:
        body = {"namespace": "large", "objects": objects}
        assert (await service.call("admin", "POST", path, json=body)).status_code == 201
        service.parts.metadefs._most_bytes = 100
        added = await service.call("admin", "POST", f"{path}/large/objects", json={"name": "o9"})
        assert added.status_code == 413
        deleted = await service.call("admin", "DELETE", f"{path}/large/objects/o1")
        assert deleted.status_code == 204
        letters = {"namespace": "letters", "description": "é" * 10, "objects": [{"name": "é" * 40}]}
        assert (await service.call("admin", "POST", path, json=letters)).status_code == 413


async def test_namespaces_of_a_project(prepared: Prepared, tmp_path: Path) -> None:
    """Metadata definitions that a project owns; those that came with the service are no project's."""
    async with running(prepared, tmp_path, metadefs=MetadefSettings(namespaces=2)) as service:
        body = [{"namespace": f"n{number}"} for number in range(4)]
        made = await asyncio.gather(
            *(service.call("admin", "POST", "/v2/metadefs/namespaces", json=each) for each in body)
        )
        assert sorted(answer.status_code for answer in made) == [201, 201, 413, 413]
        assert all("may own 2 namespaces" in answer.text for answer in made if answer.status_code == 413)
        kept = next(answer.json()["namespace"] for answer in made if answer.status_code == 201)
        await service.call("admin", "DELETE", f"/v2/metadefs/namespaces/{kept}")
        again = await service.call("admin", "POST", "/v2/metadefs/namespaces", json={"namespace": "n9"})
        assert again.status_code == 201


@pytest.mark.parametrize(
    "most", [DashboardSettings(user_streams=2), DashboardSettings(streams=2, user_streams=20)]
)
async def test_event_streams_of_a_page(prepared: Prepared, tmp_path: Path, most: DashboardSettings) -> None:
    """One more than may be open is told to ask for the list; one that is closed makes room."""
    async with running(prepared, tmp_path, dashboard=most) as service:
        person = await browser(service, "alice")
        cookie = f"tintype_session={person.http.cookies.get('tintype_session')}".encode()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/glance/events",
            "raw_path": b"/api/glance/events",
            "query_string": b"",
            "scheme": "http",
            "http_version": "1.1",
            "headers": [(b"host", b"testserver"), (b"cookie", cookie)],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }

        async def listen(gone: asyncio.Event, said: asyncio.Queue[int]) -> None:
            async def send(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.body":
                    said.put_nowait(1)
                else:
                    said.put_nowait(int(str(message["status"])))

            async def receive() -> dict[str, Any]:
                await gone.wait()
                return {"type": "http.disconnect"}

            await service.parts.app(dict(scope), receive, send)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:

            async def opened(status: int) -> tuple[asyncio.Task[None], asyncio.Event]:
                gone, said = asyncio.Event(), asyncio.Queue[int]()
                task = tasks.create_task(listen(gone, said))
                assert [await said.get() for _ in range(2)] == [status, 1]
                return task, gone

            first, _ = pages = [await opened(200) for _ in range(2)]
            await (await opened(503))[0]
            first[1].set()
            await first[0]
            pages.append(await opened(200))
            for _, gone in pages:
                gone.set()
