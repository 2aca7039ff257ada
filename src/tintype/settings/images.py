"""Settings of images: limits, formats, locations, and the cache."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.domain.images import Limits
from tintype.domain.property_schema import PropertySchema
from tintype.settings import forms


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
            description="Checks of the bytes that only write to the log where they fail, instead of refusing "
            "the image, by the names in the refusals (such as format, mbr, backing_file); or all."
        ),
    ] = ()
    parallel_downloads: Annotated[
        int,
        Meta(
            ge=1,
            description="Downloads that a project may have at once in each server process. What nginx sends "
            "is not counted.",
        ),
    ] = 256
    upload_lifetime: Annotated[
        int, Meta(ge=60, description="Seconds for which a resumable upload waits for its next piece.")
    ] = 24 * 3600
    open_uploads: Annotated[
        int,
        Meta(ge=1, description="Unfinished resumable uploads of a project; an image may have 32 of them."),
    ] = 200
    hash_algorithm: Annotated[
        Literal["sha256", "sha512", "blake2b"], Meta(description="Digest shown as os_hash_value.")
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
            description="Glance's `schema-image.json`, below `data_dir`: definitions that custom properties "
            "must match, and properties that new images must have. It may be missing.",
        ),
    ] = "schema-image.json"

    def limits(self, schema: PropertySchema | None = None) -> Limits:
        """Return what the rules of images need to know."""
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
    """Where images' data is, and who is told."""

    show_direct_url: Annotated[
        bool,
        Meta(
            description="Whether images show the address of their data to everybody who sees them: Nova and "
            "Cinder clone by it, with the token of their user."
        ),
    ] = False
    show_multiple: Annotated[
        bool,
        Meta(
            description="Whether images show all their locations, and have them changed by PATCH: the API "
            "before 2.17, by which users can exchange data (OSSN-0065)."
        ),
    ] = False

    @property
    def are_shown(self) -> bool:
        """Whether images are shown with any of their locations."""
        return self.show_direct_url or self.show_multiple


class MetadefSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Metadata definitions."""

    namespaces: Annotated[
        int,
        Meta(
            ge=0,
            description="Namespaces of metadata definitions that a project may own; one has 4 MiB at most.",
        ),
    ] = 1000


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
