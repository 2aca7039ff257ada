"""Settings of stores, one class for each kind."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tintype.settings import forms

_PREFIX_MEANING: Final = "Prefix of the objects' names, with a trailing slash; no other service may use it."
_TIMEOUT_MEANING: Final = "Seconds after which a request without a response fails; some requests are retried."


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of all kinds of stores."""

    description: Annotated[str, Meta(description="Description that users see.")] = ""
    weight: Annotated[
        int, Meta(description="Priority for reading: an image's copy in the heaviest store is read first.")
    ] = 0
    default: Annotated[
        bool, Meta(description="Whether images that name no store go here; by default, to the first one.")
    ] = False


class FileStore(Store, frozen=True, forbid_unknown_fields=True, tag="file", tag_field="type"):
    """Files in a folder."""

    folder: Annotated[
        str, Meta(min_length=1, description="The folder; a relative path starts at `data_dir`.")
    ] = "images"
    reserve: Annotated[
        int, Meta(ge=0, description="Bytes of its disk that uploads leave free, such as for the database.")
    ] = 64 << 20
    accel_redirect: Annotated[
        str | None,
        Meta(
            description="Path at which a reverse proxy serves the folder to send the bytes (docs/howto).",
            extra={"form": forms.PATH},
        ),
    ] = None


class S3Store(Store, frozen=True, forbid_unknown_fields=True, tag="s3", tag_field="type"):
    """A bucket of Amazon S3, Ceph's gateway, MinIO, or another compatible service."""

    bucket: Annotated[str, Meta(description="The bucket; it must exist.", extra={"form": forms.BUCKET})]
    access_key: Annotated[str, Meta(description="ID of the access key.")]
    secret_key: Annotated[
        str,
        Meta(description="The secret key; preferably set in the environment.", extra={"secret": True}),
    ]
    endpoint: Annotated[
        str | None,
        Meta(description="URL of the service; by default, Amazon's.", extra={"form": forms.URL}),
    ] = None
    region: Annotated[str, Meta(description="Region of the bucket.")] = "us-east-1"
    prefix: Annotated[str, Meta(description=_PREFIX_MEANING, extra={"form": forms.PREFIX})] = "tintype/"
    timeout: Annotated[int, Meta(ge=1, description=_TIMEOUT_MEANING)] = 30


class BucketStore(Store, frozen=True, forbid_unknown_fields=True):
    """The common settings of Google's and Microsoft's stores."""

    bucket: Annotated[
        str, Meta(description="The bucket or container; it must exist.", extra={"form": forms.BUCKET})
    ]
    options: Annotated[
        dict[str, str],
        Meta(
            description="Credentials and other options of obstore; JSON in the environment.",
            extra={"secret": True},
        ),
    ] = {}
    prefix: Annotated[str, Meta(description=_PREFIX_MEANING, extra={"form": forms.PREFIX})] = "tintype/"
    timeout: Annotated[int, Meta(ge=1, description=_TIMEOUT_MEANING)] = 30


class GoogleStore(BucketStore, frozen=True, forbid_unknown_fields=True, tag="gcs", tag_field="type"):
    """A bucket of Google Cloud Storage."""


class AzureStore(BucketStore, frozen=True, forbid_unknown_fields=True, tag="azure", tag_field="type"):
    """A container of Azure Blob Storage."""


class RbdStore(Store, frozen=True, forbid_unknown_fields=True, tag="rbd", tag_field="type"):
    """A pool of a Ceph cluster."""

    pool: Annotated[str, Meta(min_length=1, description="The pool.")] = "images"
    user: Annotated[
        str, Meta(description="Ceph user, without `client.`.", extra={"form": forms.CEPH_USER})
    ] = "tintype"
    conf: Annotated[str, Meta(description="Ceph's configuration file.")] = "/etc/ceph/ceph.conf"
    timeout: Annotated[int, Meta(ge=1, description="Seconds to wait for the cluster.")] = 30


class HttpStore(Store, frozen=True, forbid_unknown_fields=True, tag="http", tag_field="type"):
    """Files on web servers, read-only."""

    url: Annotated[
        str | None,
        Meta(
            description="Base URL of the files. Without it, images may have locations anywhere on the web "
            "that `imports` may download from.",
            extra={"form": forms.URL},
        ),
    ] = None


class MemoryStore(Store, frozen=True, forbid_unknown_fields=True, tag="memory", tag_field="type"):
    """Memory of one server process, for tests."""

    limit: Annotated[int, Meta(ge=1, description="Maximum size of all images in bytes.")] = 1 << 30


StoreSettings = FileStore | S3Store | GoogleStore | AzureStore | RbdStore | HttpStore | MemoryStore
