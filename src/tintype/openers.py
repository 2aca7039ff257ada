"""What the settings name, opened: the database, the rules, Keystone, the stores."""

import os
import uuid
from pathlib import Path

import msgspec
import structlog

from tintype import settings as kinds
from tintype.auth.base import Authenticator
from tintype.blobs.base import BlobStore
from tintype.blobs.filesystem import FilesystemStore, folder_mark, set_folder_mark
from tintype.blobs.memory import MemoryStore
from tintype.db import blobs as blob_rows
from tintype.db import identity as identity_rows
from tintype.db.engine import Database, SQLite, Transaction
from tintype.errors import StartError
from tintype.observability.logs import make_logger
from tintype.policy.engine import Policy, read_rules, unused
from tintype.policy.properties import Protections, read_protections
from tintype.policy.rules import DEFAULTS, SERVED
from tintype.services.identity import Identity
from tintype.settings import DATABASE, Settings, StoreSettings


def open_database(settings: Settings) -> Database:
    """Give the database of the settings; its driver is imported only where it is needed."""
    if settings.database.url is None:
        return SQLite(settings.data_dir / DATABASE)
    try:
        from tintype.db.postgres import Postgres
    except ImportError as missing:
        raise StartError(f"PostgreSQL needs: pip install 'tintype[postgres]' ({missing}).") from None
    return Postgres(settings.database.url, connections=settings.database.connections)


def open_identity(settings: Settings, database: Database) -> Identity:
    """Give the built-in identity."""
    return Identity(database, token_lifetime=settings.identity.token_lifetime, quota=settings.quotas)


def open_policy(settings: Settings) -> Policy:
    """Give the rules: the defaults, and what the operator's file says instead."""
    path = settings.data_dir / settings.policy.file
    try:
        rules = read_rules(path.read_text(encoding="utf-8"), str(path))
        for name in unused(rules, SERVED):
            make_logger(settings.log.level, settings.log.style).warning(
                "policy rule has no use here", rule=name, file=str(path)
            )
        return Policy(DEFAULTS | rules)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and settings.policy.file == kinds.PolicySettings().file:
            return Policy(DEFAULTS)
        raise StartError(f"Cannot read the policy file {path}: {error}.") from None


def open_protections(settings: Settings, policy: Policy) -> Protections | None:
    """Give the property protections, if there are any."""
    if settings.policy.property_file is None:
        return None
    path = settings.data_dir / settings.policy.property_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"Cannot read the property protections {path}: {error}.") from None
    by_rule = settings.policy.property_rules == "policies"
    return read_protections(text, str(path), policy if by_rule else None)


def open_keystone(
    settings: Settings, policy: Policy, log: structlog.typing.FilteringBoundLogger
) -> Authenticator:
    """Give the authenticator of a cloud's Keystone."""
    try:
        from tintype.auth.keystone import KeystoneAuthenticator, open_session, version_3
        from tintype.auth.limits import UnifiedLimits
    except ImportError as missing:
        raise StartError(f"Keystone needs: pip install 'tintype[keystone]' ({missing}).") from None
    chosen = settings.keystone
    if chosen.cafile is not None and not os.access(chosen.cafile, os.R_OK):
        raise StartError(f"Cannot read the certificates of keystone.cafile, {chosen.cafile}.")
    auth_url = chosen.auth_url or ""
    session = open_session(
        auth_url=auth_url,
        username=chosen.username,
        password=chosen.password,
        project_name=chosen.project_name,
        user_domain_name=chosen.user_domain_name,
        project_domain_name=chosen.project_domain_name,
        cafile=chosen.cafile,
        timeout=chosen.timeout,
    )
    limits = None
    if chosen.endpoint_id is not None:
        url = version_3(auth_url)
        limits = UnifiedLimits(session, url, chosen.endpoint_id, cache_seconds=chosen.cache_seconds)
    return KeystoneAuthenticator(
        session,
        auth_url,
        policy,
        log,
        cache_seconds=chosen.cache_seconds,
        service_roles=chosen.service_roles,
        quota=settings.quotas,
        limits=limits,
    )


def open_stores(settings: Settings) -> dict[str, BlobStore]:
    """Give the stores by name, the default one first; what only some need is imported for them alone."""
    return {name: _opened(name, chosen, settings.data_dir) for name, chosen in settings.stores.items()}


async def recognise_folders(settings: Settings) -> None:
    """Refuse a folder of another service, or another folder than the one where this store's bytes are."""
    database = open_database(settings)
    try:
        for name, chosen in settings.stores.items():
            if isinstance(chosen, kinds.FileStore):
                async with database.write() as tx:
                    folder = settings.data_dir / chosen.folder
                    await _recognise(tx, name, folder, shared=settings.database.url is not None)
    finally:
        await database.close()


async def _recognise(tx: Transaction, name: str, folder: Path, *, shared: bool) -> None:
    """Hold a folder against what is known; where no other host can be, a store that is empty may move."""
    secret = f"folder of store {name}"
    mark, known = folder_mark(folder), await identity_rows.secret(tx, secret)
    if mark is not None and mark == known:
        return
    if known is not None and (shared or await blob_rows.any_in(tx, name)):
        raise StartError(
            f"The folder {folder} is not the one of this database's store '{name}': is it mounted? Hosts "
            f"that share a database mount the same folder, or use another kind of store."
        )
    if mark is not None and _has_images(folder):
        raise StartError(f"The folder {folder} has the images of another Tintype.")
    mark = mark or set_folder_mark(folder, str(uuid.uuid4()))
    await identity_rows.forget_secret(tx, secret)
    await identity_rows.set_secret(tx, secret, mark)


def _has_images(folder: Path) -> bool:
    return any(folder.glob("??/*"))


def _opened(name: str, chosen: StoreSettings, data_dir: Path) -> BlobStore:
    try:
        return _open_store(name, chosen, data_dir)
    except ImportError as missing:
        raise StartError(f"The store '{name}' needs: pip install 'tintype[objects]' ({missing}).") from None
    except OSError as error:
        raise StartError(f"Cannot use the folder of the store '{name}': {error.strerror}.") from None
    except ValueError as error:
        raise StartError(f"Cannot open the store '{name}': {error}.") from None


def _open_store(name: str, chosen: StoreSettings, data_dir: Path) -> BlobStore:
    match chosen:
        case kinds.FileStore():
            folder = data_dir / chosen.folder
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return FilesystemStore(name, folder, reserve=chosen.reserve, accel_redirect=chosen.accel_redirect)
        case kinds.S3Store():
            from tintype.blobs.s3 import S3Store

            return S3Store(name, **msgspec.structs.asdict(chosen))
        case kinds.GoogleStore() | kinds.AzureStore():
            from tintype.blobs import objects

            make = objects.google if isinstance(chosen, kinds.GoogleStore) else objects.azure
            return make(name, **msgspec.structs.asdict(chosen))
        case kinds.RbdStore():
            from tintype.blobs.rbd import RbdStore

            return RbdStore(name, **msgspec.structs.asdict(chosen))
        case kinds.HttpStore():
            from tintype.blobs.http import HttpStore

            return HttpStore(name, chosen.url)
        case kinds.MemoryStore():
            return MemoryStore(name, chosen.limit)
