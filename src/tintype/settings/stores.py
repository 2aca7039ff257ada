"""Settings of stores, one class for each kind."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tintype.settings import forms

_PREFIX_MEANING: Final = "Folder of the objects, with a slash at its end: this service's alone."
_TIMEOUT_MEANING: Final = "Seconds after which a silent request is given up; some are tried again."


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stores of every kind have."""

    description: Annotated[str, Meta(description="What users are told of it.")] = ""
    weight: Annotated[
        int, Meta(description="Which copy of an image is read first: the one in the heaviest store.")
    ] = 0
    default: Annotated[
        bool, Meta(description="Whether images go there that name no store; without one, the first does.")
    ] = False


class FileStore(Store, frozen=True, forbid_unknown_fields=True, tag="file", tag_field="type"):
    """Files in a folder."""

    folder: Annotated[
        str, Meta(min_length=1, description="The folder; a relative one is below `data_dir`.")
    ] = "images"
    reserve: Annotated[
        int, Meta(ge=0, description="Bytes of its disk that uploads leave free, for the database and others.")
    ] = 64 << 20
    accel_redirect: Annotated[
        str | None,
        Meta(
            description="Path by which a front server knows the folder: it sends the bytes (docs/howto).",
            extra={"form": forms.PATH},
        ),
    ] = None


class S3Store(Store, frozen=True, forbid_unknown_fields=True, tag="s3", tag_field="type"):
    """A bucket of Amazon S3, Ceph's gateway, MinIO, and others that speak as they do."""

    bucket: Annotated[str, Meta(description="The bucket; it must exist.", extra={"form": forms.BUCKET})]
    access_key: Annotated[str, Meta(description="Name of the credentials.")]
    secret_key: Annotated[
        str,
        Meta(description="The secret; better in the environment than in the file.", extra={"secret": True}),
    ]
    endpoint: Annotated[
        str | None,
        Meta(description="URL of the service; without it, Amazon's.", extra={"form": forms.URL}),
    ] = None
    region: Annotated[str, Meta(description="Region of the bucket.")] = "us-east-1"
    prefix: Annotated[str, Meta(description=_PREFIX_MEANING, extra={"form": forms.PREFIX})] = "tintype/"
    timeout: Annotated[int, Meta(ge=1, description=_TIMEOUT_MEANING)] = 30


class BucketStore(Store, frozen=True, forbid_unknown_fields=True):
    """What Google's and Microsoft's have in common."""

    bucket: Annotated[
        str, Meta(description="The bucket or container; it must exist.", extra={"form": forms.BUCKET})
    ]
    options: Annotated[
        dict[str, str],
        Meta(
            description="Credentials and more, as obstore names them; JSON in the environment.",
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
    timeout: Annotated[int, Meta(ge=1, description="Seconds after which a silent cluster is given up.")] = 30


class HttpStore(Store, frozen=True, forbid_unknown_fields=True, tag="http", tag_field="type"):
    """What lies on web servers, to read only."""

    url: Annotated[
        str | None,
        Meta(
            description="Address below which the bytes are. Without it images may have locations anywhere on "
            "the web where `imports` lets downloads come from.",
            extra={"form": forms.URL},
        ),
    ] = None


class MemoryStore(Store, frozen=True, forbid_unknown_fields=True, tag="memory", tag_field="type"):
    """Memory of one server process: for tests."""

    limit: Annotated[int, Meta(ge=1, description="Bytes in all.")] = 1 << 30


StoreSettings = FileStore | S3Store | GoogleStore | AzureStore | RbdStore | HttpStore | MemoryStore
