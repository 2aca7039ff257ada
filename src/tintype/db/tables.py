"""The tables. Times are microseconds since the epoch (UTC), sizes are bytes."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ONLY: Final = "only"
"""Key of an index's `info`: the only kind of database that has the index."""
_HAS_CHECKSUM: Final = text("checksum IS NOT NULL")
_HAS_HASH: Final = text("os_hash_value IS NOT NULL")
_HAS_PLACE: Final = text("place IS NOT NULL")

images: Final = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("owner", String(255)),
    Column("status", String(30), nullable=False),
    Column("visibility", String(20), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("os_hidden", Boolean, nullable=False),
    Column("disk_format", String(20)),
    Column("container_format", String(20)),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Column("failure", Text),  # why the last upload failed
    Column("importing_to", Text),  # of the last import: what its job still has to fill, what it could not,
    Column("import_failed", Text),
    Column("import_task", String(36)),  # and its id, until it ends
    # Properties, tags and stores are repeated here as JSON ready to show: a page is one statement.
    Column("properties", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("stores", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Index(None, "created_at", "id"),
    Index(None, "owner", "created_at", "id"),
    Index(None, "visibility", "created_at", "id"),
    Index(None, "name", "visibility", "owner"),
    # A member's lists look up each image shared with it: one page read each; the primary key takes four.
    Index(None, "id", postgresql_using="hash", info={ONLY: "postgresql"}),
    Index(None, "checksum", sqlite_where=_HAS_CHECKSUM, postgresql_where=_HAS_CHECKSUM),
    Index(None, "os_hash_value", sqlite_where=_HAS_HASH, postgresql_where=_HAS_HASH),
)

image_properties: Final = Table(
    "image_properties",
    metadata,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value_key", String(255), nullable=False),  # the value, or the key of a long one: listing.py
    Index(None, "name", "value_key", "image_id"),
)

image_tags: Final = Table(
    "image_tags",
    metadata,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(255), primary_key=True),
    Index(None, "tag", "image_id"),
)

image_members: Final = Table(
    "image_members",
    metadata,
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("member_id", String(255), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "member_id", "status", "image_id"),
)

# Ids of deleted images are never reused: a client that kept one must not get other bytes by it.
image_tombstones: Final = Table(
    "image_tombstones",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("deleted_at", BigInteger, nullable=False),
)

blobs: Final = Table(
    "blobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("store", String(64), nullable=False),
    Column("image_id", String(36)),  # the image it was written for; kept until the bytes are deleted
    Column("state", String(20), nullable=False),  # of db/blobs.py
    Column("size", BigInteger),
    Column("digests", Text),  # the digests of complete bytes, as JSON
    Column("lease_expires_at", BigInteger, nullable=False),  # for a blob that is not ready
    Column("created_at", BigInteger, nullable=False),
    Column("place", Text),  # the name in the store of external data
    Column("metadata", Text),  # for a location, as JSON
    Column("claimed_by", String(36)),  # the process that deletes the bytes of a condemned blob
    Index(None, "image_id"),
    Index(None, "state", "lease_expires_at"),
    # A hash, because a URL may be longer than what PostgreSQL's B-trees take.
    Index(None, "place", postgresql_using="hash", sqlite_where=_HAS_PLACE, postgresql_where=_HAS_PLACE),
)

# Background work, which the API shows as tasks.
jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("type", String(30), nullable=False),
    Column("state", String(20), nullable=False),  # of domain/tasks.py
    Column("image_id", String(36)),
    Column("owner", String(255)),
    Column("user_id", String(255)),
    Column("request_id", String(64)),
    Column("input", Text, nullable=False),  # this and the result as JSON
    Column("result", Text),
    Column("message", Text, nullable=False),
    Column("caller", Text, nullable=False),  # the caller it runs for, as JSON
    Column("secret", Text),  # the caller's token, if another service needs it; deleted when the job ends
    Column("bytes_done", BigInteger, nullable=False),
    Column("bytes_total", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),  # when it is next tried
    Column("holder", String(36)),  # the attempt that works on it
    Column("held_until", BigInteger, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("lane", String(10), nullable=False, server_default="web"),  # of domain/tasks.py
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, index=True),  # when the record of a job that has ended is deleted
    Index(None, "image_id", "created_at"),
    Index(None, "created_at", "id"),
)
LIVE: Final = text("state IN ('pending', 'processing')")
Index("ix_jobs_live", jobs.c.created_at, sqlite_where=LIVE, postgresql_where=LIVE)
# Only one job at a time works on an image.
Index("uq_jobs_image_id", jobs.c.image_id, unique=True, sqlite_where=LIVE, postgresql_where=LIVE)

# The images that each node caches, or has been asked to cache, in front of slow stores.
cached_images: Final = Table(
    "cached_images",
    metadata,
    Column("node", String(255), primary_key=True),
    Column("image_id", String(36), primary_key=True),
    Column("digest", String(160), nullable=False),  # by which the node has its bytes
    Column("size", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),  # of db/cache.py
    Column("hits", BigInteger, nullable=False),
    Column("accessed_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "image_id"),
)

# The state of imported images in the other service at that time: it shows who has changed them since.
takeovers: Final = Table(
    "takeovers",
    metadata,
    Column("image_id", String(36), primary_key=True),
    Column("updated_at", BigInteger, nullable=False),
    Column("members", Text, nullable=False),  # statuses by project, as JSON
)

# Resumable uploads; the id is the blob's.
uploads: Final = Table(
    "uploads",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("image_id", String(36), ForeignKey("images.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("length", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("expected", Text, nullable=False),  # digests that the complete data must have, as JSON
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("holder", String(36)),  # the request that holds it
    Column("held_until", BigInteger, nullable=False),
    Column("wanted", Boolean, nullable=False),  # by another request
)

# A namespace of metadata definitions is one document, split into parts that lists need and other parts.
metadef_namespaces: Final = Table(
    "metadef_namespaces",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("namespace", String(80), nullable=False, unique=True),
    Column("display_name", String(80)),
    Column("description", Text),
    Column("visibility", String(20), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("owner", String(255), index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("properties", Text, nullable=False),  # this and the next columns: JSON, by name
    Column("objects", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("associations", Text, nullable=False),
    Column("loaded", String(64)),  # the digest of the document it was loaded from
)

# Resource types remain when no namespace uses them any more.
metadef_resource_types: Final = Table(
    "metadef_resource_types",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# The associations of namespaces, repeated to find namespaces by them.
metadef_associations: Final = Table(
    "metadef_associations",
    metadata,
    Column(
        "namespace_id", String(36), ForeignKey("metadef_namespaces.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("resource_type", String(80), primary_key=True),
    Index(None, "resource_type", "namespace_id"),
)

# The state of imported namespaces in the other service at that time: it shows what was deleted since.
metadef_takeovers: Final = Table(
    "metadef_takeovers",
    metadata,
    Column("namespace", String(80), primary_key=True),
    Column("digest", String(64), nullable=False),
)

projects: Final = Table(
    "projects",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("limits", Text, nullable=False, server_default="{}"),  # of its quota, as JSON
)

users: Final = Table(
    "users",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("password_hash", String(255), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("tokens_valid_from", BigInteger, nullable=False),  # a new password revokes older tokens
    Column("description", Text),
    Column("email", String(255)),
    Column("default_project_id", String(64)),  # the default scope of a login; it need not exist
)

grants: Final = Table(
    "grants",
    metadata,
    Column("user_id", String(64), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", String(64), ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(64), primary_key=True),
)

# Secrets with which programs log in as a user, to one project and with some of the user's roles there.
application_credentials: Final = Table(
    "application_credentials",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(64), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("secret_hash", String(255), nullable=False),
    Column("roles", Text, nullable=False),  # as JSON, implied ones included
    Column("unrestricted", Boolean, nullable=False),
    Column("expires_at", BigInteger),
    Index(None, "user_id", "name", unique=True),
)

revoked_tokens: Final = Table(
    "revoked_tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

failed_logins: Final = Table(
    "failed_logins",
    metadata,
    Column("key", String(64), primary_key=True),  # a digest of user and address
    Column("count", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
)

secrets: Final = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
