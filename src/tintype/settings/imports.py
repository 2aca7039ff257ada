"""Settings of imports and of the jobs that carry them out."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.settings import forms


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
        Meta(
            description="Networks to download from although they are not public, as 10.1.0.0/16.",
            extra={"form": forms.NETWORK},
        ),
    ] = ()
    denied_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks never to download from, beside those that are not public.",
            extra={"form": forms.NETWORK},
        ),
    ] = ()
    proxy: Annotated[
        dict[Literal["http", "https"], str],
        Meta(
            description="HTTP proxy for downloads by scheme of the URL: {https = "
            '"http://user:password@proxy.example.org:3128"}; JSON in the environment. HTTP_PROXY and '
            "the like are never used."
        ),
    ] = {}
    no_proxy: Annotated[
        tuple[str, ...],
        Meta(
            description="What is downloaded without the proxy: hosts and domains with everything below "
            "them, networks (10.0.0.0/8), or * for all."
        ),
    ] = ()
    cafile: Annotated[
        str | None,
        Meta(description="Certificates (PEM) to trust in downloads, beside the system's: of a mirror's CA."),
    ] = None
    seconds: Annotated[int, Meta(ge=1, description="How long a download may take.")] = 6 * 3600
    min_source_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="Minimum rate of a source in bytes per second, over a minute; a download from a "
            "slower one fails. 0 for none.",
        ),
    ] = 64 << 10
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
            description="Jobs at once in each server process: so many that wait for sources on the web, and "
            "so many others. Projects without a running job may start one beyond that, up to four times as "
            "many in all. 0 leaves them to `tintype worker`.",
        ),
    ] = 4
    waiting_per_project: Annotated[
        int, Meta(ge=1, description="Unfinished tasks that a project may have.")
    ] = 100
    task_lifetime: Annotated[
        int, Meta(ge=1, description="Seconds for which a task is remembered after its end.")
    ] = 48 * 3600
