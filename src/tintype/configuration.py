"""Loading of settings from `tintype.toml`, the environment and the command line."""

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from tintype.errors import StartError
from tintype.settings import (
    PREFIX,
    Setting,
    Settings,
    every_setting,
    every_store_setting,
    settings_of_store,
)
from tintype.settings.stores import StoreSettings
from tintype.settings.values import fault

FILE: Final = "tintype.toml"
_STORE_PREFIX: Final = f"{PREFIX}STORES_"
_STORE_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,255}")
_KINDS: Final = tuple(str(kind.__struct_config__.tag) for kind in get_args(StoreSettings))


def load(data_dir: Path | None, environment: Mapping[str, str], **server: Any) -> Settings:
    """Read the settings of a data folder.

    `server` has values of the section `server` from the command line: they override the environment,
    which overrides the file. Raises StartError for an unknown name or a wrong value.
    """
    folder = data_dir or _folder(environment)
    reading = _Values(folder / FILE)
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            reading.put_variable(variable, text)
    for name, value in server.items():
        if value is not None:
            reading.put("server", name, value, f"--{name}")
    reading.check()
    values = {**reading.values, "data_dir": folder, "sources": reading.sources}
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:  # what the checks have not caught
        raise StartError(f"A setting has a wrong value: {error}.") from None


def _folder(environment: Mapping[str, str]) -> Path:
    text = environment.get(PREFIX + "DATA_DIR", str(Settings().data_dir))
    if not text:
        raise StartError(f"{PREFIX}DATA_DIR is empty: name a folder, or unset it.")
    return Path(text)


class _Values:
    """The values as they were written, and the source of each."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.values = _from_file(file)
        self.sources: dict[str, str] = {}
        if "data_dir" in self.values:
            raise StartError(
                f"data_dir cannot be set in {file}, which is read from that folder: use --data-dir or "
                f"{PREFIX}DATA_DIR."
            )
        for section, value in self.values.items():
            for name, inner in value.items() if isinstance(value, dict) else ():
                self.sources[f"{section}.{name}"] = str(file)
                for field in inner if section == "stores" and isinstance(inner, dict) else ():
                    self.sources[f"stores.{name}.{field}"] = str(file)

    def put(self, section: str, name: str, value: Any, source: str) -> None:
        """Set a value, overriding the previous one."""
        within = self.values.setdefault(section, {})
        if not isinstance(within, dict):
            raise _no_section(section, self._file)
        within[name] = value
        self.sources[f"{section}.{name}"] = source

    def put_variable(self, variable: str, text: str) -> None:
        """Set a value from the environment, where lists are separated by commas, and tables are JSON."""
        if variable.startswith(_STORE_PREFIX):
            self._put_store_variable(variable, text)
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
        if setting.section:
            self.put(setting.section, setting.name, value, variable)

    def _put_store_variable(self, variable: str, text: str) -> None:
        rest = variable.removeprefix(_STORE_PREFIX)
        stores = self.values.setdefault("stores", {})
        if not isinstance(stores, dict):
            raise _no_section("stores", self._file)
        for field in sorted({"type", *(setting.name for setting in every_store_setting())}):
            upper = rest.removesuffix(f"_{field.upper()}")
            if upper and upper != rest:
                name = next((name for name in stores if _variable_of(name) == upper), upper.lower())
                value = _from_json(variable, text) if field == "options" else text
                store = stores.setdefault(name, {})
                if not isinstance(store, dict):
                    raise _no_section(f"stores.{name}", self._file)
                store[field] = value
                self.sources[f"stores.{name}.{field}"] = variable
                return
        raise StartError(f"Unknown setting {variable} in the environment: no kind of store has it.")

    def check(self) -> None:
        """Raise StartError for the first unknown name or disallowed value."""
        known = {
            f"{setting.section}.{setting.name}": setting for setting in every_setting() if setting.section
        }
        sections = {setting.section for setting in known.values()}
        for section, value in self.values.items():
            if section == "stores":
                self._check_stores(value)
                continue
            if section not in sections:
                raise StartError(
                    f"Unknown setting '{section}' in {self._file}{_nearest(section, {*known, *sections})}"
                )
            if not isinstance(value, dict):
                raise _no_section(section, self._file)
            for name, inner in value.items():
                self._check_value(f"{section}.{name}", inner, known)

    def _check_stores(self, stores: Any) -> None:
        if not isinstance(stores, dict) or not stores:
            raise StartError(f"'stores' in {self._file} is sections of settings, written [stores.<name>].")
        for name, store in stores.items():
            path = f"stores.{name}"
            if not isinstance(store, dict):
                raise _no_section(path, self._file)
            if not _STORE_NAME.fullmatch(name):
                raise StartError(
                    f"The store {name!r} in {self._file} needs another name: letters, digits, dots, _ and - "
                    f"are allowed, 255 at most."
                )
            kind = store.get("type")
            if kind not in _KINDS:
                is_now = f"is {kind!r}" if "type" in store else "is missing"
                raise StartError(
                    f"{self._named(f'{path}.type')} {is_now}; it must be one of: {', '.join(_KINDS)}."
                )
            known = {f"{path}.{field}": setting for field, setting in settings_of_store(kind).items()}
            for field, value in store.items():
                if field != "type":
                    self._check_value(f"{path}.{field}", value, known)
            for field, setting in known.items():
                if setting.default is msgspec.NODEFAULT and setting.name not in store:
                    raise StartError(
                        f"The store '{name}' needs the setting {field}: {setting.description} Set it in "
                        f"{self._file}, or {_STORE_PREFIX}{_variable_of(name)}_{setting.name.upper()}."
                    )

    def _check_value(self, path: str, value: Any, known: Mapping[str, Setting]) -> None:
        setting = known.get(path)
        if setting is None:
            raise StartError(f"Unknown setting '{path}' in {self._file}{_nearest(path, known)}")
        wrong = fault(setting, value)
        if wrong is not None:
            raise StartError(f"{self._named(path)} is {wrong.shown}; it must be {wrong.allowed}.")

    def _named(self, path: str) -> str:
        source = self.sources.get(path)
        return path if source is None else f"{path} ({source})"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StartError(f"Cannot read {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{path} is not valid TOML: {error}.") from None


def _from_json(variable: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise StartError(f"{variable} is not valid JSON: {error}.") from None


def _variable_of(store: str) -> str:
    """Return a store's name as it appears in variables."""
    return re.sub("[^A-Z0-9]", "_", store.upper())


def _no_section(section: str, file: Path) -> StartError:
    return StartError(f"'{section}' in {file} is a section of settings, written [{section}].")


def _nearest(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean '{close[0]}'?" if close else "."
