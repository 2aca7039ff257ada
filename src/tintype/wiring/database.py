"""The database of the settings."""

from tintype.db.engine import Database, SQLite
from tintype.domain.turns import Bounds
from tintype.extras import missing
from tintype.settings import DATABASE, Settings


def database_url(settings: Settings) -> str:
    """Return the address of the database."""
    return settings.database.url or f"sqlite:///{settings.data_dir / DATABASE}"


def open_database(settings: Settings) -> Database:
    """Open the database for one event loop; only the driver that is needed is imported."""
    chosen = settings.database
    waiting = Bounds(chosen.list_queue_per_project, chosen.list_queue)
    if chosen.url is None:
        return SQLite(settings.data_dir / DATABASE, waiting)
    try:
        from tintype.db.postgres import Postgres
    except ImportError as error:
        raise missing("PostgreSQL", "postgres", error) from None
    return Postgres(chosen.url, connections=chosen.connections, waiting=waiting)
