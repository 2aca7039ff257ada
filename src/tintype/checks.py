"""What must be right before a start, and whether the parts work: for the start, and for `tintype check`."""

import asyncio
import functools
import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from tintype.blobs.marks import folder_mark
from tintype.certificates import check_certificate
from tintype.db import schema
from tintype.errors import StartError, TintypeError
from tintype.folders import check_folders, is_usable, recognise_folders, store_folders
from tintype.observability.failures import reason_of
from tintype.observability.logs import make_logger
from tintype.observability.tracing import check_tracing
from tintype.openers import (
    check_web,
    database_url,
    open_keystone,
    open_plugins,
    open_policy,
    open_property_schema,
    open_protections,
    open_store,
    store_infos,
    tolerated,
)
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS
from tintype.services.health import tried
from tintype.settings import DATABASE, Settings
from tintype.settings.stores import FileStore, MemoryStore, RbdStore, StoreSettings

_SOON: Final = timedelta(days=14)
_PATIENCE_SECONDS: Final = 5
"""For which a silent part is waited for."""
_REQUESTS: Final = 2
"""To Keystone, each of which may take the seconds of its setting: a login, and the validation of a token."""
_VALIDATING: Final = frozenset({"admin", "service"})
"""Roles whose holders may validate other people's tokens, by Keystone's default policy."""


class Check(msgspec.Struct, frozen=True):
    """Something that must hold before a start; `verify` raises StartError where it does not."""

    part: str
    verify: Callable[[], object]


class Result(msgspec.Struct, frozen=True):
    """What was found of one part."""

    level: Literal["ok", "warning", "failed"]
    part: str
    detail: str = ""


def before_start(settings: Settings) -> list[Check]:
    """Return what must hold before a start. None of it asks another host, and none changes anything."""
    log = make_logger(settings.log.style)
    checks = [
        Check("workers", lambda: _check_workers(settings)),
        Check("folders", lambda: check_folders(settings)),
        Check("the way to the web", lambda: check_web(settings)),
        Check("format checks", lambda: tolerated(settings)),
        Check("import plugins", lambda: open_plugins(settings)),
        Check("policy", lambda: open_protections(settings, open_policy(settings))),
        Check("image schema", lambda: open_property_schema(settings)),
        Check("default store", lambda: store_infos(settings)),
    ]
    if settings.server.tls_certificate is not None or settings.server.tls_key is not None:
        checks.append(Check("certificate", lambda: _certificate(settings)))
    if settings.tracing.endpoint is not None:
        checks.append(Check("tracing", check_tracing))
    if settings.keystone.auth_url is not None:
        checks.append(Check("identity", lambda: open_keystone(settings, Policy(DEFAULTS), log)))
    for name, chosen in settings.stores.items():
        checks.append(Check(f"store {name}", functools.partial(open_store, name, chosen, settings)))
    return checks


def check_start(settings: Settings) -> None:
    """Raise StartError for the first thing that does not hold."""
    for check in before_start(settings):
        check.verify()


async def check_all(settings: Settings) -> list[Result]:
    """Check everything as far as that changes nothing: what a start needs, then each part at work."""
    found = [_data_folder(settings), *(_result(check) for check in before_start(settings))]
    broken = {result.part for result in found if result.level == "failed"}
    if "certificate" not in broken:
        found += _expiry(settings)
    database, new_stores = await _database(settings)
    found += database
    live = [
        _store(name, chosen, settings)
        for name, chosen in settings.stores.items()
        if f"store {name}" not in broken and not (isinstance(chosen, FileStore) and name in new_stores)
    ]
    if settings.keystone.auth_url is not None and "identity" not in broken:
        live.append(_keystone(settings))
    seen = {result.part: result for result in await asyncio.gather(*live)}
    seen |= {part: result for part, result in _new(settings, new_stores).items() if part not in broken}
    return [*(result for result in found if result.part not in seen), *seen.values()]


def _result(check: Check) -> Result:
    try:
        check.verify()
    except StartError as error:
        return Result("failed", check.part, error.message)
    return Result("ok", check.part)


def _check_workers(settings: Settings) -> None:
    in_memory = any(isinstance(store, MemoryStore) for store in settings.stores.values())
    if in_memory and settings.server.workers > 1:
        raise StartError("A store of type memory is in one process: start with one worker.")


def _certificate(settings: Settings) -> datetime | None:
    names = (settings.named("server.tls_certificate"), settings.named("server.tls_key"))
    return check_certificate(settings.server.tls_certificate, settings.server.tls_key, names)


def _data_folder(settings: Settings) -> Result:
    part, folder = "data folder", settings.data_dir.resolve()
    if not folder.exists():
        return Result("warning", part, f"{folder} does not exist; the first start makes it.")
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Result("failed", part, f"{folder} is no folder that user id {os.geteuid()} may write to.")
    return Result("ok", part, str(folder))


def _expiry(settings: Settings) -> list[Result]:
    ends = _certificate(settings)
    if ends is None:
        return []
    part, left = "certificate expiry", ends - datetime.now(UTC)
    if left < timedelta():
        return [Result("failed", part, f"It expired on {ends:%Y-%m-%d}: renew it.")]
    if left < _SOON:
        return [Result("warning", part, f"It expires on {ends:%Y-%m-%d}: renew it.")]
    return [Result("ok", part, f"until {ends:%Y-%m-%d}")]


async def _database(settings: Settings) -> tuple[list[Result], Collection[str]]:
    """Return what there is to say of the database, and the stores whose folders it has not claimed yet."""
    part = "database"
    if settings.database.url is None and not (settings.data_dir / DATABASE).exists():
        return [Result("warning", part, "There is none yet; the first start makes it.")], settings.stores
    try:
        state = await asyncio.to_thread(schema.state, database_url(settings), _PATIENCE_SECONDS)
    except StartError as error:
        unmarked = [name for name, folder in store_folders(settings) if folder_mark(folder) is None]
        return [Result("failed", part, error.message)], unmarked
    if state.refusal:
        return [Result("failed", part, state.refusal)], ()
    if state.behind:
        detail = f"It has schema {state.revision or 'none'}; the next start brings it to {state.newest}."
        return [Result("warning", part, detail)], settings.stores if state.revision is None else ()
    found = [Result("ok", part, f"schema {state.revision}")]
    try:
        return found, await recognise_folders(settings, claim=False)
    except TintypeError as error:
        return [*found, Result("failed", "folders of stores", reason_of(error))], ()


def _new(settings: Settings, names: Collection[str]) -> dict[str, Result]:
    """Report whether the next start can claim each unclaimed store folder."""
    found = {}
    for name, folder in store_folders(settings):
        part = f"store {name}"
        if name in names and is_usable(folder):
            found[part] = Result("warning", part, f"The next start makes the folder {folder} its own.")
        elif name in names:
            found[part] = Result("failed", part, f"The folder {folder} cannot be written to.")
    return found


async def _store(name: str, chosen: StoreSettings, settings: Settings) -> Result:
    part = f"store {name}"
    if isinstance(chosen, RbdStore):
        chosen = msgspec.structs.replace(chosen, timeout=min(chosen.timeout, _PATIENCE_SECONDS))
    store = open_store(name, chosen, settings)
    try:
        finding = await tried(store.check, _PATIENCE_SECONDS)
    finally:
        await store.close()
    if finding.failure is not None:
        return Result("failed", part, finding.reason)
    return Result("ok", part, f"type {store.type}")


async def _keystone(settings: Settings) -> Result:
    part, chosen = "identity", settings.keystone
    log = make_logger(settings.log.style)
    authenticator, _ = open_keystone(settings, Policy(DEFAULTS), log)
    roles: frozenset[str] = frozenset()

    async def ask() -> None:
        nonlocal roles
        roles = await authenticator.own_roles()

    finding = await tried(ask, _REQUESTS * chosen.timeout)
    if finding.failure is not None:
        return Result("failed", part, finding.reason)
    if not roles & _VALIDATING:
        detail = (
            f"The user '{chosen.username}' has neither the role admin nor service in the project "
            f"'{chosen.project_name}': Keystone's defaults let nobody else validate tokens."
        )
        return Result("warning", part, detail)
    return Result("ok", part, f"Keystone at {chosen.auth_url}, as user '{chosen.username}'")
