"""`tintype db`: inspect and upgrade the database schema."""

from typing import Annotated

import typer

from tintype.cli import admin, output
from tintype.cli.options import group
from tintype.cli.serve import DataDir
from tintype.db import schema
from tintype.wiring.database import database_url

app = group("Inspect and upgrade the database schema.")


@app.command("status")
def status(data_dir: DataDir = None) -> None:
    """Show the schema of the database and the one that this version needs, without changing anything."""
    found = schema.state(database_url(admin.existing(data_dir)))
    rows = [
        ("schema", found.revision or "none"),
        ("needed", found.newest),
        ("to contract", ", ".join(found.contractions) or "nothing"),
    ]
    output.table(("what", "value"), rows)


@app.command("upgrade")
def upgrade(
    contract: Annotated[
        bool,
        typer.Option(
            "--contract", help="Also drop tables and columns that only older versions use; stop those first."
        ),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Upgrade the schema, as every start does. Processes of the previous version may keep running."""
    url = database_url(admin.existing(data_dir))
    schema.upgrade(url, contract=contract)
    print(f"The database has schema {schema.state(url).revision}")


@app.command("check")
def check(data_dir: DataDir = None) -> None:
    """Compare the tables with the migrations, without changing anything. Exits 1 if they differ."""
    found = schema.check(database_url(admin.existing(data_dir)))
    for line in found:
        print(line)
    if found:
        raise typer.Exit(1)
    print("The database is as it should be")
