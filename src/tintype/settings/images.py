"""Settings of images: limits, formats, locations, and the cache."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.domain.images import Limits
from tintype.domain.property_schema import PropertySchema
from tintype.settings import forms


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits and formats of images. The defaults are Glance's."""

    page_size: Annotated[int, Meta(ge=1, description="Images in a list if the request has no limit.")] = 25
    max_page_size: Annotated[int, Meta(ge=1, description="Maximum number of images in a list.")] = 1000
    size_limit: Annotated[int, Meta(ge=1, description="Maximum size of an image in bytes.")] = 1 << 40
    property_limit: Annotated[int, Meta(ge=0, description="Maximum number of custom properties.")] = 128
    property_bytes_limit: Annotated[
        int, Meta(ge=0, description="Maximum size in bytes of all custom properties, names included.")
    ] = 128 << 10
    tag_limit: Annotated[int, Meta(ge=0, description="Maximum number of tags of an image.")] = 128
    member_limit: Annotated[int, Meta(ge=0, description="Maximum number of members of an image.")] = 128
    property_check: Annotated[
        Literal["off", "warn", "refuse"],
        Meta(
            description="How to treat properties that no public metadata definition accepts: ignore them, "
            "warn in the response header OpenStack-image-property-warnings, or refuse the request."
        ),
    ] = "off"
    signatures: Annotated[
        Literal["refuse", "ignore"],
        Meta(
            description="What happens to bytes for a signed image (one with img_signature, "
            "img_signature_hash_method, img_signature_key_type and img_signature_certificate_uuid), since "
            "signatures cannot be verified: the bytes are refused, or accepted with a warning in the log."
        ),
    ] = "refuse"
    tolerated_format_checks: Annotated[
        tuple[str, ...],
        Meta(
            description="Format checks that only log a failure instead of refusing the image, by their "
            "names in the error messages (such as format, mbr, backing_file); or all."
        ),
    ] = ()
    parallel_downloads: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of a project's concurrent downloads in each server process. "
            "Downloads that nginx sends are not counted.",
        ),
    ] = 256
    parallel_uploads: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of a project's concurrent uploads in each server process: requests "
            "with image data, including chunks of resumable uploads. Each uses up to 12 MiB of memory, and "
            "with S3 also a part of 8 to 64 MiB.",
        ),
    ] = 128
    upload_lifetime: Annotated[
        int, Meta(ge=60, description="Seconds that a resumable upload waits for its next chunk.")
    ] = 24 * 3600
    open_uploads: Annotated[
        int,
        Meta(ge=1, description="Maximum number of a project's unfinished resumable uploads."),
    ] = 200
    open_uploads_per_image: Annotated[
        int, Meta(ge=1, description="Maximum number of unfinished resumable uploads of an image.")
    ] = 32
    location_limit: Annotated[int, Meta(ge=1, description="Maximum number of locations of an image.")] = 10
    hash_algorithm: Annotated[
        Literal["sha256", "sha512", "blake2b"], Meta(description="Algorithm of the digest in os_hash_value.")
    ] = "sha512"
    disk_formats: Annotated[
        tuple[str, ...],
        Meta(description="Disk formats that images may have.", extra={"form": forms.NAME}),
    ] = (*("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"),)
    container_formats: Annotated[
        tuple[str, ...],
        Meta(description="Container formats that images may have.", extra={"form": forms.NAME}),
    ] = (*("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"),)

    schema_file: Annotated[
        str,
        Meta(
            min_length=1,
            description="Glance's `schema-image.json`, relative to `data_dir`: definitions that custom "
            "properties must match, and properties that new images must have. Optional.",
        ),
    ] = "schema-image.json"

    def limits(self, schema: PropertySchema | None = None) -> Limits:
        """Return the limits for the rules of images."""
        return Limits(
            disk_formats=self.disk_formats,
            container_formats=self.container_formats,
            properties=self.property_limit,
            property_bytes=self.property_bytes_limit,
            tags=self.tag_limit,
            members=self.member_limit,
            size=self.size_limit,
            schema=schema,
        )


class LocationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Locations of image data, and whether they are shown."""

    show_direct_url: Annotated[
        bool,
        Meta(
            description="Whether images show the URL of their data to everybody who can see them. Nova and "
            "Cinder need it to clone, with their user's token."
        ),
    ] = False
    show_multiple: Annotated[
        bool,
        Meta(
            description="Whether images show all their locations and PATCH can change them, as in the API "
            "before 2.17. Users can exchange an image's data with it (OSSN-0065)."
        ),
    ] = False

    @property
    def are_shown(self) -> bool:
        """Whether images show any of their locations."""
        return self.show_direct_url or self.show_multiple


class MetadefSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metadata definitions."""

    namespaces: Annotated[
        int,
        Meta(
            ge=0,
            description="Maximum number of a project's metadata definition namespaces.",
        ),
    ] = 1000
    namespace_bytes: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum size in bytes of a namespace's properties, objects, tags and resource types "
            "as JSON. Files that an operator loads may be larger.",
        ),
    ] = 4 << 20


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cache of images on this node, in front of slow stores."""

    folder: Annotated[
        str | None,
        Meta(description="Folder of the cache; a relative path starts at `data_dir`. Without it, no cache."),
    ] = None
    limit: Annotated[int, Meta(ge=1, description="Maximum size of the cache in bytes.")] = 10 << 30
    node: Annotated[str | None, Meta(description="Name of this node; by default, the name of the host.")] = (
        None
    )
