"""The least that can answer: HTTP, one statement, JSON. No tokens, no rules, no log: the limit for ours.

Started by bench.py with uvicorn, on the tables that Tintype has made.
"""

import asyncio
import os
import uuid
from typing import Any, Final

import asyncpg
import msgspec

_ENCODE: Final = msgspec.json.Encoder().encode
_COLUMNS: Final = (
    "id, name, owner, status, visibility, protected, os_hidden, disk_format, container_format, min_disk, "
    "min_ram, size, virtual_size, checksum, os_hash_algo, os_hash_value, properties, tags, stores, "
    "created_at, updated_at, version"
)
_SHOW: Final = f"SELECT {_COLUMNS} FROM images WHERE id = $1"
_LIST: Final = f"SELECT {_COLUMNS} FROM images ORDER BY created_at DESC, id DESC LIMIT $1"
_PATCH: Final = "UPDATE images SET name = $2, version = version + 1 WHERE id = $1"
_CREATE: Final = (
    "INSERT INTO images (id, name, owner, status, visibility, protected, os_hidden, disk_format, "
    "container_format, min_disk, min_ram, properties, tags, stores, created_at, updated_at, version) "
    "VALUES ($1, $2, 'bare', 'queued', 'shared', false, false, 'qcow2', 'bare', 0, 0, "
    '\'{"os_distro": "debian", "hw_disk_bus": "virtio"}\', \'["bench", "group-1"]\', \'[]\', 1, 1, 1)'
)
_pool: "asyncpg.Pool[asyncpg.Record] | None" = None
_opening = asyncio.Lock()


async def pool() -> "asyncpg.Pool[asyncpg.Record]":
    """Give the connections of this process."""
    global _pool  # noqa: PLW0603 (one application a process)
    async with _opening:
        if _pool is None:
            _pool = await asyncpg.create_pool(os.environ["BARE_URL"], min_size=10, max_size=10)
    return _pool


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer by method and path."""
    if scope["type"] != "http":
        return
    connections = _pool or await pool()
    path, method = scope["path"], scope["method"]
    body = b""
    while method in {"POST", "PATCH"}:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer: Any = {}
    async with connections.acquire() as connection:
        if method == "POST":
            name = msgspec.json.decode(body)["name"]
            await connection.execute(_CREATE, str(uuid.uuid4()), name)
        elif method == "PATCH":
            name = msgspec.json.decode(body)[0]["value"]
            await connection.execute(_PATCH, path.rpartition("/")[2], name)
        elif path == "/v2/images":
            limit = 1000 if b"limit=1000" in scope["query_string"] else 25
            answer = {"images": [dict(row) for row in await connection.fetch(_LIST, limit)]}
        else:
            answer = dict(await connection.fetchrow(_SHOW, path.rpartition("/")[2]) or {})
    content = _ENCODE(answer)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
