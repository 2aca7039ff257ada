"""Every setting: its type, its default, what it means. `docs/reference/settings.md` is made from this.

A setting comes from `tintype.toml` (`[server]` then `port = 9292`) or from the environment
(`TINTYPE_SERVER_PORT=9292`), which wins. An unknown name stops the start.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from tintype.domain.images import Limits
from tintype.domain.quotas import Quota
from tintype.store_settings import FileStore, StoreSettings

PREFIX: Final = "TINTYPE_"
DATABASE: Final = "tintype.db"
"""Where SQLite has its tables, in `data_dir`."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how the service listens."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 takes a free one.")] = 9292
    workers: Annotated[int, Meta(ge=1, le=256, description="Server processes.")] = 1
    public_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s/]+[^\s]*$")] | None,
        Meta(description="URL that clients reach the service by. Without it, the one each request came to."),
    ] = None
    tls_certificate: Annotated[
        str | None,
        Meta(description="File of the certificate and its chain (PEM). With it only HTTPS is spoken."),
    ] = None
    tls_key: Annotated[
        str | None, Meta(description="File of the certificate's key, if that is not beside it in one file.")
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed."),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(description="Origins of web pages that may call the API from browsers; * for all."),
    ] = ()
    rate_limit: Annotated[
        float, Meta(ge=0, description="Requests a second of each project and worker process; 0 for no limit.")
    ] = 0
    rate_burst: Annotated[int, Meta(ge=1, description="Requests that may come at once with it.")] = 100
    silent_seconds: Annotated[
        int, Meta(ge=1, description="How long a client may be silent in a body, or not read an answer.")
    ] = 60
    drain_seconds: Annotated[
        int, Meta(ge=0, description="How long requests in flight may take to end when the service stops.")
    ] = 30
    metadata_body_limit: Annotated[
        int, Meta(ge=1024, description="Bytes that a request body may have, image data apart.")
    ] = 1 << 20


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The database."""

    url: Annotated[
        Annotated[str, Meta(pattern="^postgres(ql)?://")] | None,
        Meta(description="PostgreSQL, as in postgresql://user@host/name. Without it, SQLite in `data_dir`."),
    ] = None
    connections: Annotated[
        int, Meta(ge=3, le=1000, description="Connections to PostgreSQL of each server process at most.")
    ] = 10


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The built-in identity."""

    token_lifetime: Annotated[int, Meta(ge=60, description="Seconds after which a token expires.")] = (
        12 * 3600
    )
    region: Annotated[str, Meta(min_length=1, description="Region named in the service catalogue.")] = (
        "RegionOne"
    )


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may do what."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description="Rules that differ from the defaults, below `data_dir`; it may be missing.",
        ),
    ] = "policy.yaml"
    property_file: Annotated[
        str | None,
        Meta(description="Property protections, as Glance has them; a relative path is below `data_dir`."),
    ] = None
    property_rules: Annotated[
        Literal["roles", "policies"], Meta(description="What stands in that file: roles, or policy rules.")
    ] = "roles"


class KeystoneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cloud's Keystone, in place of the built-in identity."""

    auth_url: Annotated[
        Annotated[str, Meta(pattern="^https?://[^/@\\s]+(/[^@\\s]*)?$")] | None,
        Meta(description="URL of Keystone. With it, its tokens are taken and no others."),
    ] = None
    public_url: Annotated[
        str | None, Meta(description="URL that clients are told; without it, auth_url.")
    ] = None
    username: Annotated[str, Meta(description="The service's own user, who may validate tokens.")] = "glance"
    password: Annotated[
        str, Meta(description="Its password; better in the environment than in the file.")
    ] = ""
    project_name: Annotated[str, Meta(description="The service's own project.")] = "service"
    user_domain_name: Annotated[str, Meta(description="Domain of the user.")] = "Default"
    project_domain_name: Annotated[str, Meta(description="Domain of the project.")] = "Default"
    cafile: Annotated[str | None, Meta(description="Certificates to trust, instead of the system's.")] = None
    endpoint_id: Annotated[
        str | None,
        Meta(description="Id of our endpoint in Keystone. With it quotas are Keystone's unified limits."),
    ] = None
    timeout: Annotated[int, Meta(ge=1, description="Seconds to wait for an answer.")] = 10
    cache_seconds: Annotated[
        int,
        Meta(ge=0, description="For how long a validated token is trusted: so long may a revoked one live."),
    ] = 60
    service_roles: Annotated[
        tuple[str, ...], Meta(description="Roles of services that may speak for users (X-Service-Token).")
    ] = ("service",)


class DashboardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page for people, and the REST that it stands on."""

    enabled: Annotated[bool, Meta(description="Whether `/dashboard/` and `/api/` are served.")] = True


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers for Prometheus."""

    token: Annotated[
        Annotated[str, Meta(min_length=16)] | None,
        Meta(description="Bearer token for `/metrics` and `/healthcheck/detail`; admins may use their own."),
    ] = None


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces by OpenTelemetry."""

    endpoint: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(
            description="OTLP collector (HTTP) that is told of each request, such as http://localhost:4318."
        ),
    ] = None
    service: Annotated[str, Meta(description="Name of the service in traces.")] = "tintype"


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits and formats of images. The defaults are Glance's."""

    page_size: Annotated[int, Meta(ge=1, description="Images in a list where the caller names no limit.")] = (
        25
    )
    max_page_size: Annotated[int, Meta(ge=1, description="Images in a list at most.")] = 1000
    size_limit: Annotated[int, Meta(ge=1, description="Bytes that an image may have.")] = 1 << 40
    property_limit: Annotated[int, Meta(ge=0, description="Custom properties of an image.")] = 128
    property_bytes_limit: Annotated[
        int, Meta(ge=0, description="Bytes of all custom properties of an image, names included.")
    ] = 128 << 10
    tag_limit: Annotated[int, Meta(ge=0, description="Tags of an image.")] = 128
    member_limit: Annotated[int, Meta(ge=0, description="Projects that an image is shared with.")] = 128
    property_check: Annotated[
        Literal["off", "warn", "refuse"],
        Meta(
            description="What becomes of properties that no public metadata definition accepts: nothing, "
            "a header OpenStack-image-property-warnings in the answer, or a refusal."
        ),
    ] = "off"
    tolerated_format_checks: Annotated[
        tuple[str, ...],
        Meta(
            description="Checks of the bytes that only write to the log where they fail, instead of refusing "
            "the image, by the names in the refusals (such as format, mbr, backing_file); or all."
        ),
    ] = ()
    upload_lifetime: Annotated[
        int, Meta(ge=60, description="Seconds for which a resumable upload waits for its next piece.")
    ] = 24 * 3600
    hash_algorithm: Annotated[
        Literal["sha256", "sha512", "blake2b"], Meta(description="Digest shown as os_hash_value.")
    ] = "sha512"
    disk_formats: Annotated[tuple[str, ...], Meta(description="Disk formats that images may have.")] = (
        *("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"),
    )
    container_formats: Annotated[
        tuple[str, ...], Meta(description="Container formats that images may have.")
    ] = (*("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"),)

    def limits(self) -> Limits:
        """Give what the rules of images need to know."""
        return Limits(
            disk_formats=self.disk_formats,
            container_formats=self.container_formats,
            properties=self.property_limit,
            property_bytes=self.property_bytes_limit,
            tags=self.tag_limit,
            members=self.member_limit,
            size=self.size_limit,
        )


class ImportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Imports: where bytes may come from, and what is done with them on the way."""

    methods: Annotated[
        tuple[Literal["glance-direct", "web-download", "copy-image", "glance-download"], ...],
        Meta(
            description="Methods that may be asked for: glance-direct, web-download, copy-image, "
            "glance-download."
        ),
    ] = ("glance-direct", "web-download", "copy-image", "glance-download")
    plugins: Annotated[
        tuple[str, ...],
        Meta(
            description="What is done with imported bytes, in this order: inject, decompress, convert, or "
            "entry points of the group `tintype.import_plugins`."
        ),
    ] = ()
    convert_to: Annotated[
        Literal["raw", "qcow2", "vmdk"],
        Meta(description="Disk format that `convert` makes: raw, qcow2 or vmdk."),
    ] = "raw"
    convert_seconds: Annotated[int, Meta(ge=1, description="How long a conversion may take.")] = 3600
    inject_properties: Annotated[
        dict[str, str], Meta(description="Properties that `inject` sets; JSON in the environment.")
    ] = {}
    inject_ignored_roles: Annotated[
        tuple[str, ...], Meta(description="Roles whose imports are left as they are by `inject`.")
    ] = ("admin",)
    decompression_ratio: Annotated[
        int, Meta(ge=1, description="How many times its size an image may unpack to, after the first GiB.")
    ] = 200
    scratch: Annotated[
        str,
        Meta(min_length=1, description="Folder for files in between; a relative one is below `data_dir`."),
    ] = "scratch"
    schemes: Annotated[
        tuple[Literal["http", "https"], ...], Meta(description="Schemes of addresses to download from.")
    ] = ("http", "https")
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(description="Ports of such addresses.")
    ] = (80, 443)
    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(description="Networks to download from although they are not public, as 10.1.0.0/16."),
    ] = ()
    denied_networks: Annotated[
        tuple[str, ...],
        Meta(description="Networks never to download from, beside those that are not public."),
    ] = ()
    seconds: Annotated[int, Meta(ge=1, description="How long a download may take.")] = 6 * 3600
    copied_properties: Annotated[
        tuple[str, ...],
        Meta(description="Beginnings of names of properties that come along from another region."),
    ] = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")


class JobSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Work that goes on without a request."""

    concurrency: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="Jobs at once in each server process; 0 leaves them to `tintype worker`.",
        ),
    ] = 4
    task_lifetime: Annotated[
        int, Meta(ge=1, description="Seconds for which a task is remembered after its end.")
    ] = 48 * 3600


class LocationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where images' data is, and who is told."""

    show_direct_url: Annotated[
        bool,
        Meta(description="Whether images show the address of their data, as services need it that clone."),
    ] = False
    show_multiple: Annotated[
        bool,
        Meta(
            description="Whether images show all their locations, and have them changed by PATCH: the API "
            "before 2.17, by which users can exchange data (OSSN-0065)."
        ),
    ] = False


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Images kept on this node in front of slow stores."""

    folder: Annotated[
        str | None,
        Meta(
            description="Folder of its own; a relative one is below `data_dir`. Without it nothing is kept."
        ),
    ] = None
    limit: Annotated[int, Meta(ge=1, description="Bytes that it may take.")] = 10 << 30
    node: Annotated[str | None, Meta(description="Name of this node; without it, the name of the host.")] = (
        None
    )


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logs, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important events to write.")
    ] = "info"
    style: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="json for machines, console for people; auto asks whether there is a terminal."),
    ] = "auto"


StoreName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,255}$")]
"""Names stand in lists with commas, in headers and in URLs."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them. `data_dir` is where the database, the images and `clouds.yaml` are."""

    data_dir: Annotated[Path, Meta(description="Folder of everything that the service keeps.")] = Path("data")
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
    cache: CacheSettings = CacheSettings()
    log: LogSettings = LogSettings()
    dashboard: DashboardSettings = DashboardSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    stores: Annotated[dict[StoreName, StoreSettings], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: {"local": FileStore()}
    )


class Setting(msgspec.Struct, frozen=True):
    """One setting, for the reference."""

    section: str
    name: str
    type: Any
    default: Any
    description: str

    @property
    def variable(self) -> str:
        """Give the name of its environment variable."""
        return PREFIX + "_".join(part.upper() for part in (self.section, self.name) if part)


def every_setting() -> Iterator[Setting]:
    """Give each setting, in the order of this file."""
    yield from _settings_of("", Settings)
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.default, msgspec.Struct):
            yield from _settings_of(field.name, type(field.default))


def every_store_setting() -> Iterator[Setting]:
    """Give each setting of each kind of store; they stand in sections `[stores.<name>]`."""
    for kind in get_args(StoreSettings):
        yield from _settings_of(str(kind.__struct_config__.tag), kind)


def _settings_of(section: str, struct: type[msgspec.Struct]) -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        made = field.default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory() if made else field.default
        for meta in getattr(hints[field.name], "__metadata__", ()):
            if meta.description is None:
                continue
            yield Setting(section, field.name, hints[field.name].__origin__, default, meta.description)
