"""Moving in where a real Glance was: the same images, by the same ids, from the same bytes."""

import asyncio
import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer import Exit

from glance import Glance
from inprocess import Prepared, Service, running
from mariadb import MariaDb
from postgres import Cluster
from processes import BIN, started
from tintype.cli.takeover import import_glance
from tintype.settings.stores import FileStore

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.needs("glance"),
    pytest.mark.xdist_group("glance"),
    pytest.mark.parametrize("prepared", ["sqlite"], indirect=True),
]
BINARY = {"Content-Type": "application/octet-stream"}
RAW = {"disk_format": "raw", "container_format": "bare"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
QUERIES = (
    "",
    "?visibility=public",
    "?tag=ü",
    "?colour=red",
    "?sort=name:asc",
    "?os_hidden=true",
    "?owner={beta}",
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("postgresql", marks=pytest.mark.needs("postgresql")),
        pytest.param("mysql", marks=pytest.mark.needs("mariadb")),
    ],
)
def glance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """Give a Glance on each kind of database that an operator may have."""
    folder = tmp_path_factory.mktemp("glance")
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            cluster: Cluster = request.getfixturevalue("cluster")
            url = cluster.url(cluster.create())
        else:
            server = MariaDb(tmp_path_factory.mktemp("mariadb"))
            stack.callback(server.close)
            url = server.create("glance")
        glance = Glance(folder, url)
        stack.callback(glance.stop)
        yield glance


def make(glance: Glance, project: str, data: bytes | None, store: str = "fast", **attributes: object) -> str:
    """Make an image, with data or without; give its id."""
    made = glance.call(project, "POST", "/v2/images", json={**RAW, **attributes})
    assert made.status_code == 201, made.text
    image = str(made.json()["id"])
    if data is not None:
        headers = {**BINARY, "X-Image-Meta-Store": store}
        put = glance.call(project, "PUT", f"/v2/images/{image}/file", content=data, headers=headers)
        assert put.status_code == 204, put.text
    return image


def fill(glance: Glance, alpha: str, beta: str) -> dict[str, str]:
    """Put images of every kind into a Glance; give their ids by name."""
    ids = {
        "plain": make(glance, alpha, b"plain" * 1000, name="plain", colour="red", tags=["ü", "b"]),
        "slow": make(glance, alpha, b"slow" * 5000, "slow", name="slow", visibility="private", min_ram=512),
        "empty": make(glance, alpha, b"", name="empty"),
        "queued": make(glance, alpha, None, name="queued", protected=True),
        "public": make(glance, "admin", b"public" * 100, name="public", visibility="public", os_hidden=False),
        "hidden": make(glance, alpha, b"hidden", name="hidden", os_hidden=True),
        "community": make(glance, beta, b"c" * 70_000, name="community", visibility="community", x="ä" * 300),
        "shared": make(glance, alpha, b"shared", name="shared", visibility="shared"),
        "closed": make(glance, alpha, b"closed", name="closed"),
        "both": make(glance, alpha, b"both" * 1000, name="both"),
        "gone": make(glance, alpha, b"gone", name="gone"),
    }
    assert glance.call(alpha, "DELETE", f"/v2/images/{ids['gone']}").status_code == 204
    shared = f"/v2/images/{ids['shared']}/members"
    for member in (beta, "somebody-else"):
        assert glance.call(alpha, "POST", shared, json={"member": member}).status_code == 200
    assert glance.call(beta, "PUT", f"{shared}/{beta}", json={"status": "accepted"}).status_code == 200
    assert glance.call("admin", "POST", f"/v2/images/{ids['closed']}/actions/deactivate").status_code == 204
    wanted = {"method": {"name": "copy-image"}, "stores": ["slow"]}
    assert glance.call("admin", "POST", f"/v2/images/{ids['both']}/import", json=wanted).status_code == 202
    deadline = time.monotonic() + 60
    while "slow" not in glance.call("admin", "GET", f"/v2/images/{ids['both']}").json()["stores"]:
        assert time.monotonic() < deadline, "Glance does not copy"
        time.sleep(0.2)
    return ids


async def take(glance: Glance, service: Service, *, dry_run: bool = False) -> int:
    """Run the command; give its exit code."""
    try:
        await asyncio.to_thread(
            import_glance, config=glance.config, policy=None, dry_run=dry_run, data_dir=service.folder
        )
    except Exit as ended:
        return ended.exit_code
    return 0


def comparable(image: dict[str, object]) -> dict[str, object]:
    """Give what both must show alike; the order of stores and tags is nobody's promise."""
    shown = {name: value for name, value in image.items() if not name.startswith("os_glance")}
    shown["tags"] = sorted(shown["tags"])  # type: ignore[call-overload]
    shown["stores"] = ",".join(sorted(str(shown.get("stores", "")).split(",")))
    return shown


async def test_everything_is_as_it_was(
    glance: Glance, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shows, lists, members and downloads answer as before; again changes nothing; later changes follow."""
    stores = {name: FileStore(folder=str(glance.folder / name)) for name in ("fast", "slow")}
    async with running(prepared, tmp_path, stores=stores) as service:
        (service.folder / "tintype.toml").write_text(
            "".join(
                f"[stores.{name}]\ntype = 'file'\nfolder = '{each.folder}'\n" for name, each in stores.items()
            )
        )
        alpha, beta = service.projects["alice"], service.projects["bob"]
        ids = await asyncio.to_thread(fill, glance, alpha, beta)
        assert await take(glance, service, dry_run=True) == 0
        assert f"{len(ids) - 1} taken, 0 updated, 0 known, 1 deleted, 0 left" in capsys.readouterr().out
        assert (await service.call("admin", "GET", "/v2/images")).json()["images"] == []
        assert await take(glance, service) == 0
        await compare(glance, service, ids)
        capsys.readouterr()
        assert await take(glance, service) == 0
        assert f"0 taken, 0 updated, {len(ids)} known" in capsys.readouterr().out

        again = {**RAW, "id": ids["gone"]}
        assert (await service.call("alice", "POST", "/v2/images", json=again)).status_code == 409
        change = [{"op": "add", "path": "/colour", "value": "blue"}]
        path = f"/v2/images/{ids['plain']}"
        await asyncio.sleep(1.1)  # times have whole seconds there
        changed = await asyncio.to_thread(glance.call, alpha, "PATCH", path, json=change, headers=PATCH)
        assert changed.status_code == 200, changed.text
        ours = f"/v2/images/{ids['slow']}"
        assert (await service.call("alice", "PATCH", ours, json=change, headers=PATCH)).status_code == 200
        assert await take(glance, service) == 0
        assert (await service.call("alice", "GET", path)).json()["colour"] == "blue"
        assert (await service.call("alice", "GET", ours)).json()["colour"] == "blue"

        assert (await service.call("alice", "DELETE", f"/v2/images/{ids['both']}")).status_code == 204
        await service.parts.sweeper.sweep()
        assert not [path for path in glance.folder.glob("*/*") if path.name == ids["both"]]
        assert (glance.folder / "fast" / ids["plain"]).exists()
        assert await take(glance, service) == 0
        assert "it was deleted here" in capsys.readouterr().out
        assert (await service.call("alice", "GET", f"/v2/images/{ids['both']}")).status_code == 404
        for name in ids:
            if name not in {"gone", "both"}:
                await asyncio.to_thread(
                    glance.call,
                    "admin",
                    "PATCH",
                    f"/v2/images/{ids[name]}",
                    json=[{"op": "replace", "path": "/protected", "value": False}],
                    headers=PATCH,
                )
                await asyncio.to_thread(glance.call, "admin", "DELETE", f"/v2/images/{ids[name]}")


async def compare(glance: Glance, service: Service, ids: dict[str, str]) -> None:
    """Ask both the same."""
    people = {"alice": service.projects["alice"], "bob": service.projects["bob"], "admin": "admin"}
    for who, project in people.items():
        for image in ids.values():
            for path in (f"/v2/images/{image}", f"/v2/images/{image}/members"):
                theirs = await asyncio.to_thread(glance.call, project, "GET", path)
                mine = await service.call(who, "GET", path)
                assert mine.status_code == theirs.status_code, (who, path, theirs.text, mine.text)
                if theirs.status_code == 200 and path.endswith(image):
                    assert comparable(mine.json()) == comparable(theirs.json()), (who, theirs.json()["name"])
                elif theirs.status_code == 200:
                    assert mine.json()["members"] == theirs.json()["members"]
            theirs = await asyncio.to_thread(glance.call, project, "GET", f"/v2/images/{image}/file")
            mine = await service.call(who, "GET", f"/v2/images/{image}/file")
            assert (mine.status_code, mine.content if mine.is_success else b"") == (
                theirs.status_code,
                theirs.content if theirs.is_success else b"",
            ), (who, theirs.json()["name"])
        for query in QUERIES:
            path = f"/v2/images{query.format(beta=people['bob'])}"
            theirs = (await asyncio.to_thread(glance.call, project, "GET", path)).json()
            mine = (await service.call(who, "GET", path)).json()
            assert [comparable(image) for image in mine["images"]] == [
                comparable(image) for image in theirs["images"]
            ], (who, path)


async def test_what_cannot_be_taken(
    glance: Glance, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes in a store that we do not have, bytes that are gone, and images half-way are left and named."""
    async with running(
        prepared, tmp_path, stores={"fast": FileStore(folder=str(glance.folder / "fast"))}
    ) as service:
        (service.folder / "tintype.toml").write_text(
            f"[stores.fast]\ntype = 'file'\nfolder = '{glance.folder / 'fast'}'\n"
        )
        alpha = service.projects["alice"]
        elsewhere, lost, halfway, whole = await asyncio.to_thread(
            lambda: (
                make(glance, alpha, b"elsewhere", "slow"),
                make(glance, alpha, b"lost"),
                make(glance, alpha, None),
                make(glance, alpha, b"whole"),
            )
        )
        (glance.folder / "fast" / lost).unlink()
        staged = await asyncio.to_thread(
            glance.call, alpha, "PUT", f"/v2/images/{halfway}/stage", content=b"x", headers=BINARY
        )
        assert staged.status_code == 204
        assert await take(glance, service) == 1
        told = capsys.readouterr().out
        assert re.search(f"{elsewhere}.*left.*no store here is the file store", told)
        assert re.search(f"{lost}.*left.*no bytes of it", told)
        assert re.search(f"{halfway}.*left.*uploading", told)
        assert '[stores.slow]\ntype = "file"' in told
        assert (await service.call("alice", "GET", f"/v2/images/{whole}/file")).content == b"whole"
        for image in (elsewhere, lost, halfway):
            assert (await service.call("alice", "GET", f"/v2/images/{image}")).status_code == 404


async def test_metadata_definitions_are_as_they_were(
    glance: Glance, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each namespace is shown and listed alike; ours give way, what was changed here stays and is told."""
    async with running(prepared, tmp_path) as service:
        own = {
            "namespace": "own",
            "owner": service.projects["alice"],
            "properties": {"p": {"title": "P", "type": "integer", "default": 8, "maximum": 9}},
            "objects": [{"name": "o", "required": ["x", "y"], "description": "d"}],
            "tags": [{"name": "t1"}, {"name": "t2"}],
            "resource_type_associations": [
                {"name": "Own::Type", "prefix": "o_"},
                {"name": "OS::Nova::Server"},
            ],
        }
        path = "/v2/metadefs/namespaces"
        made = await asyncio.to_thread(glance.call, "admin", "POST", path, json=own)
        assert made.status_code == 201, made.text
        await take(glance, service, dry_run=True)
        words = r"namespaces of .*: (\d+) added, (\d+) replaced, (\d+) kept, (\d+) deleted, (\d+) left"
        there = len((await names(glance))["namespaces"])

        def told() -> list[int]:
            return [int(number) for number in re.findall(words, capsys.readouterr().out)[0]]

        assert told() == [1, there - 1, 0, 0, 0]
        assert (await service.call("admin", "GET", f"{path}/own")).status_code == 404
        await take(glance, service)
        assert told() == [1, there - 1, 0, 0, 0]
        for who, project in (("alice", service.projects["alice"]), ("bob", "another"), ("admin", "admin")):
            for each in (await names(glance))["namespaces"]:
                one = f"{path}/{each['namespace']}"
                theirs = await asyncio.to_thread(glance.call, project, "GET", one)
                mine = await service.call(who, "GET", one)
                assert mine.status_code == theirs.status_code, (who, one)
                if mine.is_success:
                    assert alike(mine.json(), theirs.json()), (who, one)
        listed = (await service.call("alice", "GET", f"{path}?resource_types=Own::Type")).json()["namespaces"]
        assert [each["namespace"] for each in listed] == ["own"]

        assert (
            await service.call("admin", "PUT", f"{path}/own/tags/t1", json={"name": "T"})
        ).status_code == 200
        assert await take(glance, service) == 1
        assert told() == [0, 0, there - 1, 0, 1]
        gone = await asyncio.to_thread(glance.call, "admin", "DELETE", f"{path}/own")
        assert gone.status_code == 204


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
)
def test_from_nothing(
    glance: Glance, prepared: Prepared, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """The how-to, step by step: dry runs change nothing, what they print starts, and the images are there."""
    folder, settings = tmp_path / "data", tmp_path / "data" / "tintype.toml"
    environment: dict[str, Any] = {"TINTYPE_DATA_DIR": str(folder)}
    count_tables: Callable[[], str] = lambda: "0"  # noqa: E731
    if kind == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        name = cluster.create()
        environment["TINTYPE_DATABASE_URL"] = cluster.url(name)
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        count_tables = lambda: cluster.sql(tables, name)  # noqa: E731
    image = make(glance, "admin", b"from nothing", name="from nothing", visibility="public")
    theirs = listing(glance.folder)

    def command(*options: str) -> subprocess.CompletedProcess[str]:
        words: list[str | Path] = [BIN / "tintype", "import-glance", "--config", glance.config, *options]
        env = {**os.environ, **environment}
        return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=env)

    first = command("--dry-run")
    assert (first.returncode, first.stderr) == (1, "")
    assert (folder.exists(), count_tables(), listing(glance.folder)) == (False, "0", theirs)
    folder.mkdir()
    (sections,) = re.findall(r"^(\[stores.*?)^The", first.stdout, re.DOTALL | re.MULTILINE)
    settings.write_text(sections)
    second = command("--dry-run")
    assert (second.stderr, image in second.stdout) == ("", False), second.stdout  # it is not left
    assert (listing(folder), count_tables(), listing(glance.folder)) == (["tintype.toml"], "0", theirs)
    with started(folder, **environment):
        pass
    before = listing(folder)
    third = command("--dry-run")
    assert listing(folder) == before
    assert third.stdout.splitlines()[-2:] == second.stdout.splitlines()[-2:]
    assert command().stdout.splitlines()[-2:] == second.stdout.splitlines()[-2:]
    with started(folder, **environment) as server:
        headers = {"X-Auth-Token": server.log_in()}
        assert httpx2.get(f"{server.url}/v2/images/{image}/file", headers=headers).content == b"from nothing"
    glance.call("admin", "DELETE", f"/v2/images/{image}")


def listing(folder: Path) -> list[str]:
    """Name everything in a folder that is not a log."""
    found = (path for path in folder.rglob("*") if path.suffix not in {".log", ""} or path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found if "log" not in path.name)


async def names(glance: Glance) -> Any:
    """List every namespace of a Glance."""
    path = "/v2/metadefs/namespaces?limit=1000"
    return (await asyncio.to_thread(glance.call, "admin", "GET", path)).json()


def alike(mine: Any, theirs: Any) -> bool:
    """Say whether two answers say the same; of what was never changed Glance may say no time of change."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        extra = mine.keys() - theirs.keys()
        return extra <= {"updated_at"} and all(
            name in mine and alike(mine[name], value) for name, value in theirs.items()
        )
    if isinstance(mine, list) and isinstance(theirs, list) and mine and isinstance(mine[0], dict):
        by_name = [sorted(each, key=lambda one: str(one["name"])) for each in (mine, theirs)]
        return len(mine) == len(theirs) and all(map(alike, *by_name))
    return bool(mine == theirs)
