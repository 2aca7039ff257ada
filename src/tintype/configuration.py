"""Settings from where an operator writes them: `tintype.toml`, the environment, the command line."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tintype.errors import StartError
from tintype.settings import PREFIX, Settings, every_setting, every_store_setting
from tintype.settings.stores import StoreSettings

FILE: Final = "tintype.toml"
_STORE_PREFIX: Final = f"{PREFIX}STORES_"


def load(data_dir: Path | None, environment: Mapping[str, str], **server: Any) -> Settings:
    """Read the settings of a data folder.

    `server` are values of the section of that name from the command line: they win over the
    environment, which wins over the file. Raises StartError for an unknown name or a wrong value.
    """
    folder = data_dir or Path(environment.get(PREFIX + "DATA_DIR", str(Settings().data_dir)))
    values = _from_file(folder / FILE)
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            _set_from_environment(values, variable, text)
    values["data_dir"] = str(folder)
    _check_names(values)
    values.setdefault("server", {}).update({key: value for key, value in server.items() if value is not None})
    for name, store in (values.get("stores") or {}).items() if isinstance(values.get("stores"), dict) else ():
        try:
            msgspec.convert(store, StoreSettings, strict=False)
        except msgspec.ValidationError as error:
            raise StartError(f"The store '{name}' has a wrong value: {error}.") from None
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise StartError(f"A setting has a wrong value: {error}.") from None


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StartError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{path} is not valid TOML: {error}.") from None


def _set_from_environment(values: dict[str, Any], variable: str, text: str) -> None:
    if variable.startswith(_STORE_PREFIX):
        _set_store_from_environment(values, variable, text)
        return
    known = {setting.variable: setting for setting in every_setting()}
    setting = known.get(variable)
    if setting is None:
        raise StartError(f"Unknown setting {variable} in the environment{_nearest(variable, known)}")
    value: Any = text
    if "tuple" in str(setting.type):
        value = [part.strip() for part in text.split(",")] if text.strip() else []
    elif "dict" in str(setting.type):
        value = _from_json(variable, text)
    section = values.setdefault(setting.section, {}) if setting.section else values
    section[setting.name] = value


def _set_store_from_environment(values: dict[str, Any], variable: str, text: str) -> None:
    rest = variable.removeprefix(_STORE_PREFIX)
    for field in {"type", *(setting.name for setting in every_store_setting())}:
        name = rest.removesuffix(f"_{field.upper()}")
        if name and name != rest:
            value = _from_json(variable, text) if field == "options" else text
            values.setdefault("stores", {}).setdefault(name.lower(), {})[field] = value
            return
    raise StartError(f"Unknown setting {variable} in the environment: no kind of store has it.")


def _from_json(variable: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StartError(f"{variable} is not valid JSON: {error}.") from None


def _check_names(values: Mapping[str, Any]) -> None:
    known = {f"{setting.section}.{setting.name}".lstrip(".") for setting in every_setting()}
    sections = {name.partition(".")[0] for name in known if "." in name}
    given: list[str] = []
    for key, value in values.items():
        if key == "stores":
            continue  # their names are the operator's; msgspec checks the rest
        if key in sections and not isinstance(value, dict):
            raise StartError(f"'{key}' is a section of settings, written [{key}].")
        given.extend(f"{key}.{name}" for name in value) if key in sections else given.append(key)
    for name in given:
        if name not in known:
            raise StartError(f"Unknown setting '{name}'{_nearest(name, known | sections)}")


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else "."
