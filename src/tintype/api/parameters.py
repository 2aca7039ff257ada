"""Parameters of requests and headers of responses that the descriptions of operations share."""

from typing import Final

from tintype.api.json_schema import COUNT, STRING, UUID, Schema, one_of, text
from tintype.api.operation import Body, Parameter
from tintype.domain import query
from tintype.domain.uploads import METADATA_LIMIT

_TIME_FILTER: Final = "a time in ISO 8601, after an operator (eq, neq, gt, gte, lt, lte) and a colon"
_IN_FILTER: Final = "a value, or `in:` and values separated by commas"


def in_query(name: str, description: str, schema: Schema = STRING) -> Parameter:
    """Return a parameter of the query string."""
    return Parameter(name, "query", description, schema)


def in_header(name: str, description: str, schema: Schema = STRING, *, required: bool = False) -> Parameter:
    """Return a header of a request."""
    return Parameter(name, "header", description, schema, required)


LIMIT: Final = in_query("limit", "Size of a page; capped by the setting `images.max_page_size`.", COUNT)
MARKER: Final = in_query("marker", "The last item of the previous page.")
MARKER_ID: Final = in_query("marker", "ID of the last item of the previous page.", UUID)
SORT_DIR: Final = in_query("sort_dir", "Direction of the order.", one_of("asc", "desc"))
IMAGE_LIST: Final = (
    LIMIT,
    MARKER_ID,
    in_query("sort", "Keys and directions, such as `name:asc,size`. Not together with the next two."),
    in_query("sort_key", "A key to sort by; can be repeated.", one_of(*query.SORT_KEYS)),
    SORT_DIR,
    in_query("member_status", "Of images shared with the caller.", one_of(*query.MEMBER_STATUSES)),
    in_query("visibility", "Only images with this visibility.", one_of(*query.VISIBILITY_CHOICES)),
    in_query("tag", "Only images with this tag; can be repeated."),
    *(in_query(name, f"Filter: {_IN_FILTER}.") for name in ("id", "name", "status")),
    *(in_query(name, f"Filter: {_IN_FILTER}.") for name in ("container_format", "disk_format")),
    *(in_query(name, f"Filter: {_TIME_FILTER}.") for name in ("created_at", "updated_at")),
    *(in_query(name, "Filter.") for name in ("owner", "checksum", "os_hash_algo", "os_hash_value")),
    *(in_query(name, "Filter.", one_of("true", "false")) for name in ("protected", "os_hidden")),
    *(
        in_query(f"{name}{end}", "Filter.", {"type": "integer"})
        for name in ("size", "virtual_size", "min_disk", "min_ram")
        for end in ("", "_min", "_max")
    ),
    in_query(
        "property",
        "Filters by custom properties: each further parameter is the name of one.",
        {"type": "object", "additionalProperties": STRING},
    ),
)

_MD5: Final[Schema] = {"type": "string", "pattern": "^([0-9a-fA-F]{32}|[A-Za-z0-9+/]{22}==)$"}
BINARY: Final[Schema] = {"type": "string", "format": "binary"}
DATA: Final = Body({"application/octet-stream": BINARY}, required=False)
STORE: Final = in_header("X-Image-Meta-Store", "The store to use instead of the default one.")
DECLARED_SIZE: Final = in_header("X-OpenStack-Image-Size", "Size of the data; 0 if it is not known.", COUNT)
DIGESTS: Final = (
    in_header("Repr-Digest", "Digest that the complete data must have (RFC 9530), such as `sha-256=:…:`."),
    in_header("Content-MD5", "MD5 that the complete data must have, in base64 or hex.", _MD5),
)
KNOWN: Final = in_header("If-None-Match", "Answer 304 if this is the `ETag`.")
DOWNLOAD: Final = (
    in_header("Range", "The bytes to send, such as `bytes=0-99`."),
    in_header("Content-Range", "The same, as old clients write it: `bytes 0-99/100`."),
    in_header("If-Range", "Send the range only if this is the `ETag`; otherwise all bytes."),
    KNOWN,
    in_header("X-Sendfile-Type", "`X-Accel-Redirect` from a front server that can send the file itself."),
    in_query("prefer", "Names of stores to read from, if they have the image, separated by commas."),
)
TUS: Final = in_header("Tus-Resumable", "The version of tus.", one_of("1.0.0"), required=True)
UPLOAD_OFFSET: Final = in_header("Upload-Offset", "Where the chunk begins, in bytes.", COUNT, required=True)
UPLOAD_LENGTH: Final = in_header("Upload-Length", "Size of the upload in bytes.", COUNT, required=True)
UPLOAD_METADATA: Final = in_header(
    "Upload-Metadata", "Pairs of a name and a value in base64, separated by commas.", text(METADATA_LIMIT)
)
UPLOAD_CHECKSUM: Final = in_header("Upload-Checksum", "Algorithm and digest of the chunk in base64.")
OVERRIDE: Final = in_header(
    "X-HTTP-Method-Override", "The method meant.", one_of("PATCH", "DELETE", "HEAD"), required=True
)
NAME: Final = in_query("name", "Only the one with exactly this name.")
IN_DOMAIN: Final = (
    in_query("domain_id", "Filter: `default` is the only domain."),
    in_query("enabled", "Filter by whether it is enabled."),
)
SUBJECT: Final = in_header(
    "X-Subject-Token", "The token that the request is about.", text(4096, least=1), required=True
)
NO_CATALOG: Final = in_query("nocatalog", "Leave the catalogue out, whatever the value.")

SERVICE_TOKEN: Final = in_header(
    "X-Service-Token", "Token of a service that sends the request for the caller."
)
"""Taken by all operations that need a token of the image API."""
GLOBAL_ID: Final = in_header("X-Openstack-Request-Id", "ID of the request that led to this one, for the log.")
"""Taken by all operations."""

PATH: Final[dict[str, tuple[str, Schema]]] = {
    "id": ("ID of the object.", STRING),
    "upload": ("ID of the upload.", STRING),
    "tag": ("The tag.", STRING),
    "member": ("ID of the project that the image is shared with.", STRING),
    "store": ("Name of the store.", STRING),
    "name": ("Name of the object.", STRING),
    "namespace": ("Name of the namespace.", STRING),
    "user": ("ID of the user.", STRING),
    "role": ("ID of the role.", STRING),
    "credential": ("ID of the application credential.", STRING),
}
"""Parameters in paths, by name."""

_REQUEST_ID: Final = r"^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

HEADERS: Final[dict[str, tuple[str, Schema]]] = {
    "X-Openstack-Request-Id": (
        "ID of the request, as in the log.",
        {"type": "string", "pattern": _REQUEST_ID},
    ),
    "X-Content-Type-Options": ("Stops browsers from guessing types.", {"const": "nosniff"}),
    "Location": ("URL of what was created, or to go to.", STRING),
    "ETag": ("Identifies the content.", STRING),
    "Vary": ("The headers that the response depends on.", STRING),
    "Cache-Control": ("How long the response may be reused.", STRING),
    "Accept-Ranges": ("Ranges can be requested.", {"const": "bytes"}),
    "Content-Range": ("The range that was sent, or `bytes */SIZE` of a range that cannot be.", STRING),
    "Repr-Digest": ("Digest of the whole data (RFC 9530).", STRING),
    "Content-MD5": ("MD5 of the whole data, in hex.", STRING),
    "WWW-Authenticate": ("Where to get a token.", {"type": "string", "pattern": "^Keystone uri="}),
    "Retry-After": ("Seconds to wait.", COUNT),
    "Accept-Patch": ("The media types of a PATCH.", STRING),
    "Allow": ("The methods of the path.", STRING),
    "Upload-Offset": ("Bytes that are durable: where to continue.", COUNT),
    "Upload-Length": ("Size of the whole upload in bytes.", COUNT),
    "Upload-Metadata": ("As it was given.", STRING),
    "Upload-Expires": ("When the upload is deleted unless it is continued.", STRING),
    "Tus-Resumable": ("The version of tus.", {"const": "1.0.0"}),
    "Tus-Version": ("The versions of tus that are served.", STRING),
    "Tus-Max-Size": ("Largest size of an upload in bytes.", COUNT),
    "Tus-Extension": ("Extensions of tus that are served.", STRING),
    "Tus-Checksum-Algorithm": ("Algorithms of `Upload-Checksum`.", STRING),
    "OpenStack-image-store-ids": ("The writable stores.", STRING),
    "OpenStack-image-import-methods": ("The methods of import.", STRING),
    "OpenStack-image-property-warnings": ("Properties that do not match their definitions.", STRING),
    "X-Subject-Token": ("The token.", STRING),
    "Content-Security-Policy": ("What the page may load.", STRING),
    "X-Frame-Options": ("No page may frame it.", STRING),
    "Referrer-Policy": ("What links tell.", STRING),
    "X-Accel-Redirect": ("The path at which a front server finds the data.", STRING),
}
"""Headers of responses, by name."""

ALWAYS: Final = ("X-Openstack-Request-Id", "X-Content-Type-Options")
"""Headers of every response."""
REQUIRED: Final = {
    *ALWAYS,
    "WWW-Authenticate",
    "Tus-Resumable",
    "Location",
    "Upload-Offset",
    "X-Subject-Token",
}
"""Headers that a response has wherever the document names them; others depend on the request."""
