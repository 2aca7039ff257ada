"""`tintype db`: the tables, for those who bring them up to date by themselves."""

from typing import Annotated

import typer

from tintype.cli import admin, output
from tintype.cli.serve import DataDir
from tintype.db import schema
from tintype.wiring.database import database_url

app = typer.Typer(help="The database's tables.", no_args_is_help=True, add_completion=False)


@app.command("status")
def status(data_dir: DataDir = None) -> None:
    """Say which schema the database has, and which this version needs. Changes nothing."""
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
        bool, typer.Option("--contract", help="Also take away what only older versions use: stop them first.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Bring the tables up to date, as each start does; processes of the last version may go on meanwhile."""
    url = database_url(admin.existing(data_dir))
    schema.upgrade(url, contract=contract)
    print(f"The database has schema {schema.state(url).revision}")


@app.command("check")
def check(data_dir: DataDir = None) -> None:
    """Hold the tables against what the migrations make. Changes nothing; exits 1 for differences."""
    found = schema.check(database_url(admin.existing(data_dir)))
    for line in found:
        print(line)
    if found:
        raise typer.Exit(1)
    print("The database is as it should be")
