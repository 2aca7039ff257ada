"""The stores of the settings."""

from typing import Any

import msgspec

from tintype.blobs.base import BlobStore
from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.http import HttpStore
from tintype.blobs.memory import MemoryStore
from tintype.domain.addresses import WebRules
from tintype.domain.stores import StoreInfo
from tintype.errors import StartError
from tintype.extras import missing
from tintype.settings import Settings
from tintype.settings import stores as kinds
from tintype.settings.stores import StoreSettings
from tintype.wiring.web import create_web


def create_store_infos(settings: Settings) -> dict[str, StoreInfo]:
    """Return information about the stores by name, the default first; raises StartError for two defaults."""
    infos = {
        name: StoreInfo(
            name,
            str(chosen.__struct_config__.tag),
            chosen.description,
            chosen.weight,
            read_only=isinstance(chosen, kinds.HttpStore),
        )
        for name, chosen in settings.stores.items()
    }
    wished = [name for name, chosen in settings.stores.items() if chosen.default]
    if len(wished) > 1 or any(infos[name].read_only for name in wished):
        raise StartError(f"Exactly one writable store may be the default; found: {', '.join(wished)}.")
    first = next((name for name, info in infos.items() if not info.read_only), next(iter(infos)))
    default = (wished or [first])[0]
    infos[default] = msgspec.structs.replace(infos[default], default=True)
    return {name: infos[name] for name in (default, *(name for name in infos if name != default))}


def open_store(name: str, settings: Settings) -> BlobStore:
    """Open a store; only the modules that its kind needs are imported. Nothing is sent or read yet.

    Raises StartError if its settings can never work.
    """
    try:
        return _open_store(name, settings.stores[name], settings)
    except ImportError as error:
        raise missing(f"The store '{name}'", "objects", error) from None
    except ValueError as error:
        where = settings.named(f"stores.{name}")
        raise StartError(f"Cannot open the store '{name}', {where}: {error}.") from None


def _open_store(name: str, chosen: StoreSettings, settings: Settings) -> BlobStore:
    match chosen:
        case kinds.FileStore():
            folder = settings.data_dir / chosen.folder
            return FilesystemStore(name, folder, reserve=chosen.reserve, accel_redirect=chosen.accel_redirect)
        case kinds.S3Store():
            from tintype.blobs.s3 import S3Store

            return S3Store(name, **own_settings(chosen))
        case kinds.GoogleStore() | kinds.AzureStore():
            from tintype.blobs import objects

            make = objects.google if isinstance(chosen, kinds.GoogleStore) else objects.azure
            return make(name, **own_settings(chosen))
        case kinds.RbdStore():
            from tintype.blobs.rbd import RbdStore

            return RbdStore(name, **own_settings(chosen))
        case kinds.HttpStore():
            rules = None if chosen.url is None else WebRules(anywhere=True)
            return HttpStore(name, chosen.url, create_web(settings, rules))
        case kinds.MemoryStore():
            return MemoryStore(name, chosen.limit)


def own_settings(chosen: StoreSettings) -> dict[str, Any]:
    """Return the settings of a store that only its kind has."""
    common = kinds.Store.__struct_fields__
    return {name: value for name, value in msgspec.structs.asdict(chosen).items() if name not in common}
