"""Checks of the configuration before a start, and of each part at work for `tintype check`."""

import asyncio
import functools
import os
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from tintype.blobs.marks import folder_mark
from tintype.certificates import check_certificate
from tintype.db import blobs as blob_rows
from tintype.db import schema
from tintype.db.engine import fetch
from tintype.errors import StartError, TintypeError
from tintype.folders import check_folders, is_usable, recognise_folders, store_folders
from tintype.observability.failures import reason_of
from tintype.observability.tracing import check_tracing
from tintype.policy.engine import Policy
from tintype.policy.rules import DEFAULTS
from tintype.services.health import probe
from tintype.settings import DATABASE, Settings
from tintype.settings.stores import FileStore, MemoryStore, RbdStore, StoreSettings
from tintype.wiring.database import database_url
from tintype.wiring.identity import create_keystone
from tintype.wiring.service import Service
from tintype.wiring.web import create_cloud_web

_SOON: Final = timedelta(days=14)
_PATIENCE_SECONDS: Final = 5
"""How long to wait for a part that does not answer."""
_REQUESTS: Final = 2
"""Requests to Keystone, each with its own timeout: a login, and the validation of a token."""
_VALIDATING: Final = frozenset({"admin", "service"})
"""Roles that may validate other users' tokens, by Keystone's default policy."""


class Check(msgspec.Struct, frozen=True):
    """A condition for a start; `verify` raises StartError if it is not met."""

    part: str
    verify: Callable[[], object]


class Result(msgspec.Struct, frozen=True):
    """The result of checking one part."""

    level: Literal["ok", "warning", "failed"]
    part: str
    detail: str = ""


def before_start(service: Service) -> list[Check]:
    """Return the conditions for a start. Verifying them contacts no other host and changes nothing.

    They use the service's parts, and a new client for Keystone, which nothing else needs without one.
    """
    settings = service.settings
    checks = [
        Check("workers", lambda: _check_workers(settings)),
        Check("folders", lambda: check_folders(settings)),
        Check("downloads from the web", lambda: (service.web, create_cloud_web(settings))),
        Check("format checks", lambda: service.tolerated_checks),
        Check("import plugins", lambda: service.plugins),
        Check("policy", lambda: service.protections),
        Check("image schema", lambda: service.property_schema),
        Check("default store", lambda: service.store_infos),
    ]
    if settings.server.tls_certificate is not None or settings.server.tls_key is not None:
        checks.append(Check("certificate", lambda: _certificate(settings)))
    if settings.tracing.endpoint is not None:
        checks.append(Check("tracing", check_tracing))
    if settings.keystone.auth_url is not None:
        checks.append(Check("identity", lambda: service.keystone_session))
    checks += [Check(f"store {name}", functools.partial(service.store, name)) for name in settings.stores]
    return checks


def check_start(service: Service) -> None:
    """Raise StartError for the first condition that is not met."""
    for check in before_start(service):
        check.verify()


async def check_all(settings: Settings) -> list[Result]:
    """Check the conditions for a start, then each part at work, without changing anything."""
    service = Service(msgspec.structs.replace(settings, stores=_with_short_timeouts(settings.stores)))
    try:
        return await _check_all(service)
    finally:
        await service.close()


def _with_short_timeouts(stores: Mapping[str, StoreSettings]) -> dict[str, StoreSettings]:
    """Return the stores' settings with timeouts of at most `_PATIENCE_SECONDS`."""
    return {
        name: msgspec.structs.replace(chosen, timeout=min(chosen.timeout, _PATIENCE_SECONDS))
        if isinstance(chosen, RbdStore)
        else chosen
        for name, chosen in stores.items()
    }


async def _check_all(service: Service) -> list[Result]:
    settings = service.settings
    found = [_data_folder(settings), *(_result(check) for check in before_start(service))]
    broken = {result.part for result in found if result.level == "failed"}
    if "certificate" not in broken:
        found += _expiry(settings)
    database, new_stores = await _database(service)
    found += database
    live = [
        _store(name, service)
        for name, chosen in settings.stores.items()
        if f"store {name}" not in broken and not (isinstance(chosen, FileStore) and name in new_stores)
    ]
    if settings.keystone.auth_url is not None and "identity" not in broken:
        live.append(_keystone(service))
    seen = {result.part: result for result in await asyncio.gather(*live)}
    seen |= {part: each for part, each in _unclaimed(settings, new_stores).items() if part not in broken}
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
        raise StartError("A store of type memory works in one process only: start with one worker.")


def _certificate(settings: Settings) -> datetime | None:
    names = (settings.named("server.tls_certificate"), settings.named("server.tls_key"))
    return check_certificate(settings.server.tls_certificate, settings.server.tls_key, names)


def _data_folder(settings: Settings) -> Result:
    part, folder = "data folder", settings.data_dir.resolve()
    if not folder.exists():
        return Result("warning", part, f"{folder} does not exist; the first start makes it.")
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Result("failed", part, f"{folder} is not a folder that user id {os.geteuid()} can write to.")
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


async def _database(service: Service) -> tuple[list[Result], Collection[str]]:
    """Return the results for the database, and the stores whose folders it has not claimed yet."""
    part, settings = "database", service.settings
    if settings.database.url is None and not (settings.data_dir / DATABASE).exists():
        return [
            Result("warning", part, "It does not exist yet; the first start creates it.")
        ], settings.stores
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
        found += await _lost_stores(service)
        return found, await recognise_folders(service.database, settings, claim=False)
    except TintypeError as error:
        return [*found, Result("failed", "folders of stores", reason_of(error))], ()


async def _lost_stores(service: Service) -> list[Result]:
    """Report the stores that have copies of images and are not in the settings."""
    counts = await fetch(service.database, blob_rows.counts)
    return [
        Result("failed", f"store {name}", f"It has {count} copies of images, and is not in the settings.")
        for name, count in sorted(counts.items())
        if name not in service.settings.stores
    ]


def _unclaimed(settings: Settings, names: Collection[str]) -> dict[str, Result]:
    """Report whether the next start can claim each unclaimed store folder."""
    found = {}
    for name, folder in store_folders(settings):
        part = f"store {name}"
        if name in names and is_usable(folder):
            found[part] = Result("warning", part, f"The next start makes the folder {folder} its own.")
        elif name in names:
            found[part] = Result("failed", part, f"The folder {folder} cannot be written to.")
    return found


async def _store(name: str, service: Service) -> Result:
    part, store = f"store {name}", service.store(name)
    finding = await probe(store.check, _PATIENCE_SECONDS)
    if finding.failure is not None:
        return Result("failed", part, finding.reason)
    return Result("ok", part, f"type {store.type}")


async def _keystone(service: Service) -> Result:
    part, chosen = "identity", service.settings.keystone
    defaults = Policy(DEFAULTS)  # the operator's policy may be wrong, which is reported separately
    authenticator, _ = create_keystone(service.settings, service.keystone_session, defaults, service.log)
    roles: frozenset[str] = frozenset()

    async def ask() -> None:
        nonlocal roles
        roles = await authenticator.own_roles()

    finding = await probe(ask, _REQUESTS * chosen.timeout)
    if finding.failure is not None:
        return Result("failed", part, finding.reason)
    if not roles & _VALIDATING:
        detail = (
            f"The user '{chosen.username}' has neither the role admin nor service in the project "
            f"'{chosen.project_name}': Keystone's defaults let nobody else validate tokens."
        )
        return Result("warning", part, detail)
    return Result("ok", part, f"Keystone at {chosen.auth_url}, as user '{chosen.username}'")
