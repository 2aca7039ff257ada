"""Metadata definitions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "metadef_namespaces",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("namespace", sa.String(80), nullable=False),
        sa.Column("display_name", sa.String(80)),
        sa.Column("description", sa.Text),
        sa.Column("visibility", sa.String(20), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("properties", sa.Text, nullable=False),
        sa.Column("objects", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("associations", sa.Text, nullable=False),
        sa.Column("loaded", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_metadef_namespaces"),
        sa.UniqueConstraint("namespace", name="uq_metadef_namespaces_namespace"),
    )
    op.create_index("ix_metadef_namespaces_owner", "metadef_namespaces", ["owner"])
    op.create_table(
        "metadef_resource_types",
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_metadef_resource_types"),
    )
    op.create_table(
        "metadef_associations",
        sa.Column("namespace_id", sa.String(36), nullable=False),
        sa.Column("resource_type", sa.String(80), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace_id"],
            ["metadef_namespaces.id"],
            name="fk_metadef_associations_namespace_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("namespace_id", "resource_type", name="pk_metadef_associations"),
    )
    op.create_index(
        "ix_metadef_associations_resource_type_namespace_id",
        "metadef_associations",
        ["resource_type", "namespace_id"],
    )
    op.create_table(
        "metadef_takeovers",
        sa.Column("namespace", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("namespace", name="pk_metadef_takeovers"),
    )
