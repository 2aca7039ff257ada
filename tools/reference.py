"""Generate docs/reference from the tables in the code. `make docs`; a test holds the pages to it.

python tools/reference.py [FOLDER]
"""

import asyncio
import inspect
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer.main
from msgspec import NODEFAULT

from tintype import __version__
from tintype.api.docs import api_document
from tintype.api.errors import STATUS
from tintype.cli.commands import app
from tintype.client import errors as errors_of_client
from tintype.client import models
from tintype.client.blocking.binding import Group
from tintype.client.blocking.client import Client
from tintype.policy.rules import RULES
from tintype.settings import CacheSettings, Settings, every_setting, every_store_setting
from tintype.wiring.service import Service

MADE = "<!-- Made by `make docs` from the code; do not edit. -->\n\n"


def main(folder: Path) -> None:
    """Write every page."""
    pages = {
        "routes.md": routes(),
        "settings.md": settings(),
        "policy.md": policy(),
        "errors.md": errors(),
        "cli.md": commands(),
        "client.md": client(),
        "python-api.md": classes(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(MADE + text)
    (folder / "openapi.json").write_text(openapi())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def routes() -> str:
    """Give the URL space."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Settings(data_dir=Path(folder), cache=CacheSettings(folder="cache")))
        rows = []
        for path, route in service.routes.items():
            if path.startswith("/api/") and path.endswith("/"):
                continue
            needed = "session" if path.startswith("/api/glance/") else "" if route.open else "token"
            for method, endpoint in route.methods.items():
                meaning = (endpoint.__doc__ or "").split("\n")[0]
                rows.append((f"`{method} {path}`", meaning, needed))
        asyncio.run(service.close())
    note = (
        "[OpenAPI](openapi.md) describes each request and its responses in full. "
        "Handlers of `/identity` check the token themselves: those that log in need none. `/v2/cache`, "
        "`/v2/cached_images` and `/v2/queued_images` answer 404 where `cache.folder` is not set, to callers "
        "who may use them. `GET /v2/images/{id}/file?prefer=a,b` prefers the copies in these stores. "
        "`{name...}` may have slashes. `/v2.N` of each advertised version means `/v2`; doubled slashes count "
        "as one. "
        "Paths below `/api` may end with a slash; `/` leads browsers to `/dashboard/`.\n"
    )
    return f"# Routes\n\n{table(('request', 'what it does', 'needs'), rows)}\n{note}"


def openapi() -> str:
    """Return the API's document, of a service with a cache and otherwise default settings."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Settings(data_dir=Path(folder), cache=CacheSettings(folder="cache")))
        made = api_document(service.routes, service.limits, __version__)
        asyncio.run(service.close())
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def settings() -> str:
    """Give every setting."""
    rows = [
        (
            f"`{f'[{setting.section}] ' if setting.section else ''}{setting.name}`",
            f"`{setting.variable}`",
            "" if setting.default is None else f"`{_plain(setting.default)}`",
            setting.description,
        )
        for setting in every_setting()
    ]
    intro = (
        "From `tintype.toml` in the data folder, or from the environment, which takes precedence. An "
        "unknown name stops the start. `data_dir` itself comes from `--data-dir` or the environment.\n\n"
    )
    stores = [
        (
            setting.section,
            f"`{setting.name}`",
            "" if setting.default in (None, NODEFAULT) else f"`{_plain(setting.default)}`",
            setting.description,
        )
        for setting in every_store_setting()
    ]
    about_stores = (
        "\n## Stores\n\nA section `[stores.<name>]` each, with `type` and what that type takes; the first "
        "is the default one. In the environment: `TINTYPE_STORES_<NAME>_<SETTING>`. Without any there is "
        "`local`, of type `file`.\n\n"
    )
    return (
        f"# Settings\n\n{intro}{table(('setting', 'environment', 'default', 'meaning'), rows)}"
        f"{about_stores}{table(('type', 'setting', 'default', 'meaning'), stores)}"
    )


def policy() -> str:
    """Give every rule."""
    rows = [(f"`{rule.name}`", rule.description, f"`{rule.default}`") for rule in RULES]
    note = (
        "The names and defaults are Glance's. Which request asks which rules, and what a refusal answers, "
        "is in [who may do what](../explanation/policy.md).\n\n"
    )
    return f"# Policy\n\n{note}{table(('rule', 'guards', 'default'), rows)}"


def errors() -> str:
    """Give what each failure is over HTTP."""
    rows = [
        (str(status), f"`{kind.__name__}`", (kind.__doc__ or "").strip()) for kind, status in STATUS.items()
    ]
    intro = (
        'Every failure, of the identity too, is `{"error": {"code", "title", "message", "request_id"}}`, or '
        "plain text where the client asks for text and not for JSON.\n\n"
    )
    return f"# Errors\n\n{intro}{table(('status', 'kind', 'meaning'), rows)}"


def client() -> str:
    """Give every call of the client, from its docstrings."""
    with Client(endpoint="http://127.0.0.1:9292") as made:
        groups = {name: value for name, value in vars(made).items() if isinstance(value, Group)}
    lines = [f"# Client\n\n{_words(Client)}\n", _words(Client.__init__), ""]
    for name, group in groups.items():
        lines += [f"## client.{name}\n", f"{_words(type(group))}\n"]
        for call in (each for each in vars(type(group)) if not each.startswith("_")):
            method = getattr(group, call)
            lines += [f"### {name}.{call}`{_signature(method)}`\n", f"{_words(method)}\n"]
    lines += ["## Errors\n", _words(errors_of_client).replace("\n\n", "\n\n```\n", 1) + "\n```\n"]
    lines += ["## Records\n"]
    for record in models.Record.__subclasses__():
        fields = ", ".join(f"`{field}`" for field in record.__struct_fields__)
        lines += [f"**{record.__name__}**: {_words(record)} {fields}.\n"]
    return "\n".join(lines)


def classes() -> str:
    """Return the page on which the site shows the client's classes, with the types of their arguments."""
    with Client(endpoint="http://127.0.0.1:9292") as made:
        groups = {name: type(value) for name, value in vars(made).items() if isinstance(value, Group)}
    about = (
        "The classes and errors of `tintype.client`, from their docstrings, with types: what does more than "
        "one request. [Client](client.md) has every call. `AsyncClient` has the same ones, awaited.\n"
    )
    lines = [
        "# Python client, classes\n",
        about,
        "::: tintype.client.Client\n",
    ]
    for name, group in groups.items():
        lines += [f"## client.{name}\n", f"::: {group.__module__}.{group.__qualname__}"]
        lines += ["    options:", "      show_root_heading: false", "      show_root_toc_entry: false\n"]
    lines += ["## Errors\n", "::: tintype.client.errors", "    options:", "      show_root_heading: false\n"]
    return "\n".join(lines)


def _words(documented: Any) -> str:
    return inspect.getdoc(documented) or ""


def _signature(function: Any) -> str:
    shown = inspect.signature(function)
    bare = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in shown.parameters.values()
        if each.name != "self"
    ]
    return str(shown.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def commands() -> str:
    """Give every command with its options."""
    return "# Command line\n\n" + "\n".join(_command("tintype", typer.main.get_command(app)))


def _command(path: str, command: Any) -> list[str]:
    if hasattr(command, "list_commands"):
        context = typer.Context(command)
        children = {name: command.get_command(context, name) for name in command.list_commands(context)}
        own = _described(path, command) if path == "tintype" else []
        inner = [_command(f"{path} {name}", child) for name, child in children.items()]
        return [line for lines in (own, *inner) for line in lines]
    return _described(path, command)


def _described(path: str, command: Any) -> list[str]:
    lines = [f"## {path}\n", f"{(command.help or '').strip()}\n"]
    rows = []
    for parameter in command.params:
        names = ", ".join((*parameter.opts, *parameter.secondary_opts))
        shown = (
            f"`{names}`" if parameter.param_type_name == "option" else f"`{(parameter.name or '').upper()}`"
        )
        rows.append((shown, getattr(parameter, "help", None) or ""))
    if rows:
        lines.append(table(("argument", "meaning"), rows))
    return lines


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "reference")
