"""Lanes: jobs that wait for servers on the web have slots of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None
phase = "expand"

LOCAL = """
    UPDATE jobs SET lane = 'local'
    WHERE (type = 'api_image_import'
           AND (input LIKE '%"name":"glance-direct"%' OR input LIKE '%"name":"copy-image"%'))
       OR (type = 'location_import'
           AND input NOT LIKE '%"loc_url":"http://%' AND input NOT LIKE '%"loc_url":"https://%')
"""


def upgrade() -> None:
    """Add the column; jobs that older code adds are taken for ones that wait for the web."""
    op.add_column("jobs", sa.Column("lane", sa.String(10), nullable=False, server_default="web"))
    op.execute(LOCAL)
