"""The database's schema through time: alembic's versions, and when to run them."""
