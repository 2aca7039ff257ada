"""The files that define clouds: `clouds.yaml`, `secure.yaml`, `clouds-public.yaml`, or `.json` of each.

They are found and merged as in openstacksdk: of each kind, the first file in the search path is used.
https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html
"""

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tintype.client import errors

_ENDINGS: Final = (".yaml", ".yml", ".json")
_NUMBERS: Final = frozenset({"api_timeout"})
"""Settings whose numbers stay numbers; all other numbers become strings."""


@dataclasses.dataclass(frozen=True)
class Clouds:
    """The clouds in the files, by name."""

    entries: Mapping[str, Any]
    path: Path | None
    """The file that defines them; None if there is none."""

    def get(self, name: str) -> dict[str, Any]:
        """Return a cloud's settings; raises InvalidEndpoint if it does not exist, or is no mapping."""
        if name not in self.entries:
            if self.path is None:
                raise errors.InvalidEndpoint(f"Cannot find the cloud {name}: there is no clouds.yaml.")
            known = ", ".join(self.entries) or "none"
            raise errors.InvalidEndpoint(f"There is no cloud {name} in {self.path}. There are: {known}.")
        entry = self.entries[name]
        if not isinstance(entry, dict) or not isinstance(entry.get("auth") or {}, dict):
            raise errors.InvalidEndpoint(
                f"Cloud {name} in {self.path}: it and its 'auth' must be mappings of settings."
            )
        return entry


def read(environ: Mapping[str, str]) -> Clouds:
    """Return the clouds of the first `clouds` file, with the first `secure` file merged into them."""
    path, plain = _first("clouds", environ, environ.get("OS_CLIENT_CONFIG_FILE"))
    hidden_path, hidden = _first("secure", environ, environ.get("OS_CLIENT_SECURE_FILE"))
    merged = _merged(_section(path, plain, "clouds"), _section(hidden_path, hidden, "clouds"))
    return Clouds(merged, path or hidden_path)


def profile(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a vendor's profile.

    They come from `clouds-public.yaml`, else from openstacksdk if that is installed. Raises InvalidEndpoint
    if neither has the profile.
    """
    path, found = _first("clouds-public", environ, None)
    public = _section(path, found, "public-clouds")
    if name in public:
        if not isinstance(public[name], dict) or not isinstance(public[name].get("auth") or {}, dict):
            raise errors.InvalidEndpoint(f"Profile {name} in {path} must be a mapping of settings.")
        return dict(public[name])
    try:
        from openstack.config import vendors  # only its data is used, if it is installed
    except ImportError:
        raise errors.InvalidEndpoint(
            f"Profile {name} is not in clouds-public.yaml. Install openstacksdk, which has the profiles of "
            "vendors, or write auth_url and the other settings into the cloud in place of 'profile'."
        ) from None
    try:
        data = dict(vendors.get_profile(name) or {})
        if data.get("profile"):
            data = dict(vendors.get_profile(data["profile"]) or data)
    except Exception as error:
        raise errors.InvalidEndpoint(f"openstacksdk cannot read the profile {name}: {error}") from error
    if data.get("status") == "shutdown":
        raise errors.InvalidEndpoint(f"Profile {name} is of a cloud that is gone: {data.get('message', '')}")
    return normalized({key: value for key, value in data.items() if key not in {"profile", "status"}})


def normalized(settings: Mapping[Any, Any]) -> dict[str, Any]:
    """Return settings with underscores in their names, and numbers as strings, as openstacksdk does."""
    made: dict[str, Any] = {}
    for key, value in settings.items():
        name = str(key).replace("-", "_")
        if isinstance(value, dict):
            made[name] = normalized(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in _NUMBERS:
            made[name] = str(value)
        else:
            made[name] = value
    return made


def home(path: str, environ: Mapping[str, str]) -> Path:
    """Return a path with a leading `~` expanded, if the home folder is known."""
    base = environ.get("HOME") or environ.get("USERPROFILE")
    if base and (path == "~" or path.startswith("~/")):
        return Path(base, path[2:])
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user without a home folder, such as in a container
        return Path(path)


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    yield Path()
    config = home("~/.config", environ)
    if sys.platform == "darwin":
        yield home("~/Library/Application Support/openstack", environ)
    elif os.name == "nt":
        yield (
            Path(environ.get("LOCALAPPDATA") or home("~/AppData/Local", environ)) / "OpenStack" / "openstack"
        )
    else:
        yield Path(environ.get("XDG_CONFIG_HOME") or config) / "openstack"
    snap = environ.get("SNAP_REAL_HOME")
    yield (Path(snap, ".config") if snap else config) / "openstack"
    if sys.platform == "darwin":
        yield Path("/Library/Application Support/openstack")
    elif os.name == "nt":
        yield Path(environ.get("PROGRAMDATA") or "C:/ProgramData") / "OpenStack" / "openstack"
    else:
        for each in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep):
            yield Path(each) / "openstack"
    yield Path("/etc/openstack")


def _first(stem: str, environ: Mapping[str, str], named: str | None) -> tuple[Path | None, dict[Any, Any]]:
    """Return the first readable file in the search path, with its contents."""
    usual = [folder / f"{stem}{ending}" for folder in _folders(environ) for ending in _ENDINGS]
    for path in ([Path(named)] if named else []) + usual:
        try:
            if path.exists():
                return path, _load(path)
        except PermissionError:
            continue
        except OSError as error:
            raise errors.InvalidEndpoint(f"{path} cannot be read: {error.strerror}.") from None
        except ValueError:  # a path with a NUL byte
            raise errors.InvalidEndpoint(f"{str(path)!r} is not a path.") from None
    return None, {}


def _load(path: Path) -> dict[Any, Any]:
    """Read a file. Error messages do not contain its text, which has passwords."""
    data = path.read_bytes()
    try:
        found = msgspec.json.decode(data) if path.suffix == ".json" else _yaml(data, path)
    except msgspec.DecodeError as error:
        raise errors.InvalidEndpoint(f"{path} is not valid JSON: {error}.") from None
    except (UnicodeDecodeError, RecursionError):
        raise errors.InvalidEndpoint(f"{path} is not text in UTF-8, or nested too deeply.") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise errors.InvalidEndpoint(f"{path} must be a mapping with 'clouds' in it.")
    return found


def _yaml(data: bytes, path: Path) -> Any:
    import yaml  # slow to import, and only needed for such files

    try:
        return yaml.load(data, yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        raise errors.InvalidEndpoint(f"{path} is not text in UTF-8 (byte {error.position}).") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise errors.InvalidEndpoint(
            f"{path} is not valid YAML{where}. Values with special characters need quotes."
        ) from None


def _section(path: Path | None, found: Mapping[Any, Any], key: str) -> dict[str, Any]:
    section = found.get(key) or {}
    if not isinstance(section, dict):
        raise errors.InvalidEndpoint(f"'{key}' in {path} must be a mapping of names to settings.")
    return {
        str(name): normalized(value) if isinstance(value, dict) else value for name, value in section.items()
    }


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = _merged(made[key], value) if both else value
    return made
