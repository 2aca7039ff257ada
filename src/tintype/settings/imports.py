"""Settings of imports, and of the jobs that run them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.settings import forms


class ImportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Imports: permitted sources, and how the bytes are processed."""

    methods: Annotated[
        tuple[Literal["glance-direct", "web-download", "copy-image", "glance-download"], ...],
        Meta(description="Enabled methods: glance-direct, web-download, copy-image, glance-download."),
    ] = ("glance-direct", "web-download", "copy-image", "glance-download")
    plugins: Annotated[
        tuple[str, ...],
        Meta(
            description="Plugins that process imported bytes, in this order: inject, decompress, convert, "
            "or entry points of the group `tintype.import_plugins`."
        ),
    ] = ()
    convert_to: Annotated[
        Literal["raw", "qcow2", "vmdk"],
        Meta(description="Disk format that `convert` produces: raw, qcow2 or vmdk."),
    ] = "raw"
    convert_seconds: Annotated[int, Meta(ge=1, description="Maximum seconds for a conversion.")] = 3600
    inject_properties: Annotated[
        dict[str, str], Meta(description="Properties that `inject` sets; JSON in the environment.")
    ] = {}
    inject_ignored_roles: Annotated[
        tuple[str, ...], Meta(description="Roles whose imports `inject` does not change.")
    ] = ("admin",)
    decompression_ratio: Annotated[
        int, Meta(ge=1, description="Maximum ratio of decompressed to compressed size, after the first GiB.")
    ] = 200
    scratch: Annotated[
        str,
        Meta(min_length=1, description="Folder for temporary files; a relative path starts at `data_dir`."),
    ] = "scratch"
    schemes: Annotated[
        tuple[Literal["http", "https"], ...], Meta(description="Permitted schemes of URLs to download from.")
    ] = ("http", "https")
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(description="Permitted ports of these URLs.")
    ] = (80, 443)
    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Permitted networks that are not public, such as 10.1.0.0/16.",
            extra={"form": forms.NETWORK},
        ),
    ] = ()
    denied_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Forbidden networks, in addition to those that are not public.",
            extra={"form": forms.NETWORK},
        ),
    ] = ()
    proxy: Annotated[
        dict[Literal["http", "https"], str],
        Meta(
            description="HTTP proxy for downloads by scheme of the URL: {https = "
            '"http://user:password@proxy.example.org:3128"}; JSON in the environment. HTTP_PROXY and '
            "similar variables are ignored."
        ),
    ] = {}
    no_proxy: Annotated[
        tuple[str, ...],
        Meta(
            description="Destinations to download from without the proxy: hosts, domains with their "
            "subdomains, networks (10.0.0.0/8), or * for all."
        ),
    ] = ()
    cafile: Annotated[
        str | None,
        Meta(description="CA certificates (PEM) to trust in downloads, in addition to the system's."),
    ] = None
    seconds: Annotated[int, Meta(ge=1, description="Maximum seconds for a download.")] = 6 * 3600
    min_source_rate: Annotated[
        int,
        Meta(
            ge=0,
            description="Minimum rate of a source in bytes per second, averaged over a minute; a download "
            "from a slower one fails. 0 for no limit.",
        ),
    ] = 64 << 10
    copied_properties: Annotated[
        tuple[str, ...],
        Meta(description="Prefixes of the names of properties that are copied from another region."),
    ] = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")


class JobSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Background jobs."""

    concurrency: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="Concurrent jobs in each server process: this many that wait for sources on the "
            "web, and this many others. Projects without a running job may start one beyond that, up to "
            "four times as many in all. 0 leaves jobs to `tintype worker`.",
        ),
    ] = 4
    waiting_per_project: Annotated[
        int, Meta(ge=1, description="Maximum number of a project's unfinished tasks.")
    ] = 100
    task_lifetime: Annotated[
        int, Meta(ge=1, description="Seconds for which a task is kept after its end.")
    ] = 48 * 3600
