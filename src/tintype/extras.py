"""Optional parts: the command that installs a missing one, depending on how Tintype was installed."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from tintype.errors import StartError

_NAME: Final = "tintype"


def missing(what: str, extra: str, error: ImportError) -> StartError:
    """Return the error for a part whose package cannot be imported, with the command that installs it."""
    if isinstance(error, ModuleNotFoundError):
        reason = f"needs the Python package {error.name}, which is not installed"
    else:
        reason = f"cannot load the Python package {error.name}: {error}"
    return StartError(f"{what} {reason}. Run: {command(extra)}")


def command(extra: str) -> str:
    """Return the command that adds an extra to this installation."""
    return f"{_pip()} install {_requirement(extra)}"


def _pip() -> str:
    """Return the pip of this process's environment: another one would install elsewhere."""
    if sys.prefix == sys.base_prefix:
        return "pip"
    pip, here = Path(sys.prefix, "bin", "pip"), Path.cwd()
    if not pip.exists():
        return f"{shlex.quote(sys.executable)} -m pip"
    near = pip.is_relative_to(here) and here != Path("/")
    return shlex.quote(str(pip.relative_to(here) if near else pip))


def _requirement(extra: str) -> str:
    """Return the requirement for pip: a checkout, the URL of a package, or the package's name."""
    origin = _origin()
    url = str(origin.get("url", ""))
    folder = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
    if folder is not None and "dir_info" in origin and folder.is_dir():
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return editable + shlex.quote(f"{'.' if folder == Path.cwd() else folder}[{extra}]")
    if url and (folder is None or folder.exists()):
        scheme = origin.get("vcs_info", {}).get("vcs")
        return shlex.quote(f"{_NAME}[{extra}] @ {f'{scheme}+' if scheme else ''}{url}")
    return shlex.quote(f"{_NAME}[{extra}]")


def _origin() -> dict[str, Any]:
    """Return where pip installed the package from (PEP 610); nothing for an index."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow; only needed for this message

    try:
        text = distribution(_NAME).read_text("direct_url.json")
    except PackageNotFoundError:  # run from a source tree that is not installed
        text = None
    found: dict[str, Any] = json.loads(text or "{}")
    return found
