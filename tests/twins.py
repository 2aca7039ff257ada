"""A Glance and a Tintype with the same stores, which both trust the identity headers of callers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from guarded import CALLERS, Send
from inprocess import Prepared, make_settings
from tintype.auth.keystone import KeystoneAuthenticator
from tintype.domain.quotas import Quota
from tintype.folders import recognise_folders
from tintype.settings import CacheSettings, ImportSettings, KeystoneSettings, LocationSettings
from tintype.settings.stores import FileStore, HttpStore
from tintype.wiring import service as wiring
from tintype.wiring.identity import keystone_calls

DATA = bytes(range(256)) * 4000
"""Of the disk in the web."""
GLANCE = """\
[DEFAULT]
show_image_direct_url = true
show_multiple_locations = true
image_cache_dir = {folder}/cache
image_cache_driver = sqlite
[oslo_policy]
policy_file = {folder}/policy.yaml
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = [{port}]
"""


class AllWhoSayIt(KeystoneAuthenticator):
    """Accepts tokens that contain Keystone's response."""

    def _request(self, token: str, _allow_expired: bool) -> tuple[int, bytes]:
        return 200, token.encode()


def token_of(caller: str) -> str:
    project, roles = CALLERS[caller]
    scope = {} if project is None else {"project": {"id": project}}
    said = {
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "user": {"id": caller},
        "roles": [{"name": role} for role in roles.split(",")],
        **scope,
    }
    return json.dumps({"token": said})


def headers_of(caller: str) -> dict[str, str]:
    project, roles = CALLERS[caller]
    scope = {"OpenStack-System-Scope": "all"} if project is None else {"X-Project-Id": project}
    return {"X-Identity-Status": "Confirmed", "X-User-Id": caller, "X-Roles": roles, **scope}


@contextlib.asynccontextmanager
async def tintype(prepared: Prepared, folder: Path, port: int = 80) -> AsyncIterator[Any]:
    """Start a Tintype like the Glance, with a Keystone that trusts everybody; yield parts and client."""
    settings = make_settings(
        folder / "data",
        database=prepared.copy(folder / "data"),
        keystone=KeystoneSettings(auth_url="http://192.0.2.1/v3"),
        stores={"fast": FileStore(), "slow": FileStore(folder="slow"), "web": HttpStore()},
        imports=ImportSettings(
            methods=("glance-direct", "copy-image"), allowed_networks=("127.0.0.0/8",), ports=(port,)
        ),
        locations=LocationSettings(show_multiple=True, show_direct_url=True),
        cache=CacheSettings(folder="cache"),
    )
    made = wiring.Service(settings)
    options: Any = {
        "cache_seconds": 0,
        "cached_tokens": 9,
        "service_roles": (),
        "quota": Quota(),
        "limits": None,
    }
    session: Any = None
    calls = keystone_calls(KeystoneSettings(auth_url="http://192.0.2.1"), session, made.log)
    made.identification = AllWhoSayIt(calls, made.policy, made.log, **options), session
    await recognise_folders(made.database, settings)
    transport = httpx2.ASGITransport(app=made.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield made, client
    await made.close()


def senders(client: httpx2.AsyncClient, peer: httpx2.Client) -> tuple[Send, Send]:
    async def ours(caller: str, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"X-Auth-Token": token_of(caller), **options.pop("headers", {})}
        return await client.request(method, path, headers=headers, **options)

    async def theirs(caller: str, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {**headers_of(caller), **options.pop("headers", {})}
        return await asyncio.to_thread(peer.request, method, path, headers=headers, **options)

    return ours, theirs
