"""All settings: their types, defaults and meanings. `docs/reference/settings.md` is generated from them.

A setting comes from `tintype.toml` (`[server]` then `port = 9292`) or from the environment
(`TINTYPE_SERVER_PORT=9292`), which overrides the file. An unknown name prevents the start.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints

import msgspec
from msgspec import Meta

from tintype.domain.quotas import Quota
from tintype.settings.forms import Form
from tintype.settings.identity import IdentitySettings, KeystoneSettings, PolicySettings
from tintype.settings.images import CacheSettings, ImageSettings, LocationSettings, MetadefSettings
from tintype.settings.imports import ImportSettings, JobSettings
from tintype.settings.server import (
    DashboardSettings,
    DatabaseSettings,
    LogSettings,
    MetricsSettings,
    Server,
    TracingSettings,
)
from tintype.settings.stores import FileStore, StoreSettings

__all__ = [
    "DATABASE",
    "PREFIX",
    "CacheSettings",
    "DashboardSettings",
    "DatabaseSettings",
    "FileStore",
    "IdentitySettings",
    "ImageSettings",
    "ImportSettings",
    "JobSettings",
    "KeystoneSettings",
    "LocationSettings",
    "LogSettings",
    "MetadefSettings",
    "MetricsSettings",
    "PolicySettings",
    "Server",
    "Setting",
    "Settings",
    "StoreName",
    "StoreSettings",
    "TracingSettings",
    "every_setting",
    "every_store_setting",
    "settings_of_store",
]

PREFIX: Final = "TINTYPE_"
DATABASE: Final = "tintype.db"
"""The file of the SQLite database, in `data_dir`."""

StoreName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,255}$")]
"""Names appear in lists with commas, in headers and in URLs."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. `data_dir` contains the database, the images and `clouds.yaml`."""

    data_dir: Annotated[Path, Meta(description="Folder for all data of the service.")] = Path("data")
    server: Server = Server()
    database: DatabaseSettings = DatabaseSettings()
    identity: IdentitySettings = IdentitySettings()
    keystone: KeystoneSettings = KeystoneSettings()
    policy: PolicySettings = PolicySettings()
    quotas: Quota = Quota()
    images: ImageSettings = ImageSettings()
    imports: ImportSettings = ImportSettings()
    jobs: JobSettings = JobSettings()
    locations: LocationSettings = LocationSettings()
    metadefs: MetadefSettings = MetadefSettings()
    cache: CacheSettings = CacheSettings()
    log: LogSettings = LogSettings()
    dashboard: DashboardSettings = DashboardSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    stores: Annotated[dict[StoreName, StoreSettings], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: {"local": FileStore()}
    )
    sources: dict[str, str] = {}
    """The sources of settings that are not defaults: a file, a variable or an option."""

    def named(self, name: str) -> str:
        """Return a setting's name with the source of its value, for messages."""
        source = self.sources.get(name)
        return name if source is None else f"{name} ({source})"


class Setting(msgspec.Struct, frozen=True):
    """One setting, for the reference."""

    section: str
    name: str
    type: Any
    default: Any
    description: str
    annotation: Any
    """Its type, with the constraints on its values."""
    form: Form | None
    secret: bool

    @property
    def variable(self) -> str:
        """Return the name of its environment variable."""
        return PREFIX + "_".join(part.upper() for part in (self.section, self.name) if part)


def every_setting() -> Iterator[Setting]:
    """Yield each setting, in the order of this file."""
    yield from _settings_of("", Settings)
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.default, msgspec.Struct):
            yield from _settings_of(field.name, type(field.default))


def every_store_setting() -> Iterator[Setting]:
    """Yield each setting of each kind of store, for sections `[stores.<name>]`."""
    for kind in get_args(StoreSettings):
        yield from _settings_of(str(kind.__struct_config__.tag), kind)


def settings_of_store(kind: str) -> dict[str, Setting]:
    """Return the settings of a kind of store by name; none if there is no such kind."""
    return {setting.name: setting for setting in every_store_setting() if setting.section == kind}


def _settings_of(section: str, struct: type[msgspec.Struct]) -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        made = field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory() if made else field.default
        for meta in getattr(hints[field.name], "__metadata__", ()):
            if meta.description is None:
                continue
            extra = meta.extra or {}
            yield Setting(
                section,
                field.name,
                hints[field.name].__origin__,
                default,
                meta.description,
                hints[field.name],
                extra.get("form"),
                extra.get("secret", False),
            )
