"""Any SQLite tool can repair an image's row: derived tables are updated, and lists find the image."""

import json
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from inprocess import Service
from tintype.db import schema

pytestmark = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
LONG = "ü" * 300
Tool = Callable[[Path, str], None]


def with_python(database: Path, statement: str) -> None:
    """Change the database as a script does: with Python's module and its defaults, and nothing of ours."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def with_the_shell(database: Path, statement: str) -> None:
    """Change it as a person does, by the program of SQLite."""
    command = ["sqlite3", "-bail", str(database)]
    done = subprocess.run(command, input=statement, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


TOOLS = [with_python, pytest.param(with_the_shell, marks=pytest.mark.needs("sqlite3"))]


def rows(service: Service, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(service.folder / "tintype.db")) as connection:
        return connection.execute(statement).fetchall()


async def make(service: Service, **attributes: object) -> str:
    body = {"name": "n", "colour": "red", "size_of": "small", "long": LONG, "tags": ["t"], **attributes}
    return str((await service.call("alice", "POST", "/v2/images", json=body)).json()["id"])


async def found(service: Service, query: str) -> Sequence[str]:
    """Give the ids that a list has; a member's and an admin's are looked for in two ways."""
    answers = [await service.call(who, "GET", f"/v2/images?{query}") for who in ("alice", "admin")]
    assert [answer.status_code for answer in answers] == [200, 200]
    mine, everybodys = ([image["id"] for image in answer.json()["images"]] for answer in answers)
    assert mine == everybodys
    return mine


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "properties",
    [
        f"json_set(properties, '$.colour', 'blue', '$.long', {literal(LONG)})",
        literal(f'{{"colour":"blue","long":"{LONG}"}}'),
        literal(f' {{ "long" : "{LONG}" , "colour":"blue" }} '),
        literal(json.dumps({"colour": "blue", "long": LONG})),
        literal(json.dumps({"colour": "blue", "long": LONG}, indent=2)),
        literal(f'{{"colour":"bl\\u0075e","long":"{LONG}","a/b":"a\\/b"}}'),
    ],
    ids=["json_set", "short", "spaces", "json.dumps", "indented", "escapes"],
)
async def test_properties_are_changed(service: Service, tool: Tool, properties: str) -> None:
    """However the JSON is written, lists find the image by what it has now, and by nothing that it had."""
    image = await make(service)
    tool(service.folder / "tintype.db", f"UPDATE images SET properties = {properties} WHERE id = '{image}';")
    assert await found(service, "colour=red") == []
    assert await found(service, "colour=blue") == [image]
    assert await found(service, f"long={quote(LONG)}") == [image]
    assert await found(service, f"long={quote(LONG[:-1])}") == []
    shown = (await service.call("alice", "GET", f"/v2/images/{image}")).json()
    assert (shown["colour"], shown["long"]) == ("blue", LONG)
    assert await found(service, "size_of=small") == ([image] if "size_of" in shown else [])
    if "a/b" in shown:
        assert await found(service, "a%2Fb=a%2Fb") == [image]


@pytest.mark.parametrize("tool", TOOLS)
async def test_tags_are_changed(service: Service, tool: Tool) -> None:
    """The same holds for tags."""
    image = await make(service)
    value = literal('[ "gr\\u00fcn", "u" ]')
    tool(service.folder / "tintype.db", f"UPDATE images SET tags = {value} WHERE id = '{image}';")
    assert await found(service, "tag=t") == []
    for tag in ("grün", "u"):
        assert await found(service, f"tag={quote(tag)}") == [image]


@pytest.mark.parametrize("tool", TOOLS)
async def test_rows_come_and_go(service: Service, tool: Tool) -> None:
    """A row that is put in is an image like any other; one that is deleted leaves nothing behind."""
    image, other = await make(service, name="first"), str(uuid.uuid4())
    columns = [str(column[1]) for column in rows(service, "PRAGMA table_info(images)")]
    named = ", ".join(column for column in columns if column not in {"id", "name"})
    selected = f"SELECT '{other}', 'copy', {named} FROM images WHERE id = '{image}'"
    copy = f"INSERT INTO images (id, name, {named}) {selected};"
    tool(service.folder / "tintype.db", copy)
    assert await found(service, "colour=red&tag=t&name=copy") == [other]
    second = selected.replace(" properties", " json_remove(properties, '$.size_of')")
    tool(service.folder / "tintype.db", f"REPLACE INTO images (id, name, {named}) {second};")
    assert await found(service, "colour=red&name=copy") == [other]
    assert await found(service, "size_of=small") == [image]
    answer = await service.call("alice", "POST", f"/v2/images/{other}/members", json={"member": "somebody"})
    assert answer.status_code == 200
    tool(service.folder / "tintype.db", f"DELETE FROM images WHERE id = '{other}';")
    assert await found(service, "colour=red&tag=t") == [image]
    assert (await service.call("alice", "GET", f"/v2/images/{other}")).status_code == 404
    for table in ("image_properties", "image_tags", "image_members", "uploads"):
        assert rows(service, f"SELECT * FROM {table} WHERE image_id = '{other}'") == []
    assert schema.check(f"sqlite:///{service.folder / 'tintype.db'}") == []


@pytest.mark.parametrize(
    "change",
    [
        """properties = '{"colour": 5}'""",
        """properties = '{"colour": null}'""",
        "properties = '[\"colour\"]'",
        "properties = 'no JSON'",
        "tags = '[5]'",
        """tags = '{"t": "t"}'""",
        "tags = 't'",
    ],
)
async def test_what_no_image_can_have_is_refused(service: Service, change: str) -> None:
    """A row that the service could not read is not made; the image stays as it was."""
    image = await make(service)
    before = (await service.call("alice", "GET", f"/v2/images/{image}")).json()
    with pytest.raises(sqlite3.Error):
        with_python(service.folder / "tintype.db", f"UPDATE images SET {change} WHERE id = '{image}'")
    assert (await service.call("alice", "GET", f"/v2/images/{image}")).json() == before
    assert await found(service, "colour=red&tag=t") == [image]
