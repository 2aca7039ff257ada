"""`python -m tintype` is the `tintype` command."""

from tintype.cli.main import run

if __name__ == "__main__":
    run()
