"""The `clouds.yaml` in the data folder, with which official clients log in as the first admin.

It is written once and belongs to the user from then on. Only the values of one entry are updated, each in its
place; everything else that a user has written stays as it is.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

FILE: Final = "clouds.yaml"
CLOUD: Final = "tintype"
_WRITTEN_FOR: Final = re.compile(r"^# Written for (\S+)$", re.MULTILINE)
_PATH: Final = "/identity"
_LOOPBACK: Final = ("127.", "[::1]", "localhost")


class Login(msgspec.Struct, frozen=True):
    """The credentials of the first admin."""

    user: str
    password: str
    project: str


def create(path: Path, login: Login, url: str, region: str) -> None:
    """Write the file, readable by its owner alone."""
    text = f"""\
# For the official clients: OS_CLIENT_CONFIG_FILE=<this file> openstack --os-cloud {CLOUD} image list
# Each start of Tintype keeps the address, region and certificate of {CLOUD} current, until they are edited.
# Written for {url}
clouds:
  {CLOUD}:
    auth:
      auth_url: {_quoted(url + _PATH)}
      username: {login.user}
      password: {_quoted(login.password)}
      project_name: {login.project}
      user_domain_id: default
      project_domain_id: default
    region_name: {_quoted(region)}
    identity_api_version: 3
"""
    _write(path, text)


def cacert_of(path: Path) -> str | None:
    """Return the file of CA certificates that the entry names, if any."""
    with contextlib.suppress(_Unreadable):
        return _Document(path).entry().get("cacert")
    return None


def keep_current(path: Path, url: str, region: str, cacert: str | None) -> str | None:
    """Update the URL, region and file of CA certificates in the entry.

    Returns None if the entry is up to date, else a sentence that says what to change by hand: a URL that
    a user has edited is not overwritten.
    """
    wanted = f"auth_url {url}{_PATH}" + ("" if cacert is None else f", cacert {cacert}")
    try:
        document = _Document(path)
        entry = document.entry()
        if entry.get("auth_url") != url + _PATH and not document.is_ours(entry.get("auth_url", "")):
            return (
                f"{path} has an address that was edited, {entry.get('auth_url')}, and is left alone. "
                f"The address of this start is {wanted}."
            )
        document.set("auth", "auth_url", value=url + _PATH)
        document.set("region_name", value=region)
        if cacert != entry.get("cacert"):
            document.set("cacert", value=cacert)
        document.mark(url)
        document.save()
    except (_Unreadable, OSError) as error:
        return f"{path} {_reason(error)}, so it is left alone. Its cloud {CLOUD} needs {wanted}."
    return None


def set_password(path: Path, user: str, password: str) -> str | None:
    """Update a user's password in each entry that logs that user in to this service.

    Returns None if nothing is left to do, else a sentence that says what to change by hand.
    """
    if not path.exists():
        return None
    left = []
    try:
        document = _Document(path)
        here = document.entry().get("auth_url", "")
        for name in document.names():
            entry = document.entry(name)
            if entry.get("username") != user or "password" not in entry:
                continue
            if entry.get("auth_url") == here and document.is_ours(here):
                document.set("auth", "password", value=password, cloud=name)
            else:
                left.append(f"clouds.{name}.auth.password")
        document.save()
    except (_Unreadable, OSError) as error:
        return f"{path} {_reason(error)}: if it has the old password of {user}, change it there."
    return f"{path} may have the old password of {user}: change {', '.join(left)} there." if left else None


class _Unreadable(Exception):
    """The entry cannot be found in the file; the message continues a sentence that begins with its name."""


class _Document:
    """The text of the file, in which single values can be changed."""

    def __init__(self, path: Path) -> None:
        import yaml  # imported only if there is a file to read

        self._path = path.resolve()
        self._yaml = yaml
        try:
            self._text = self._read = self._path.read_text(encoding="utf-8")
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(self._text, yaml.SafeLoader)):
                raise _Unreadable("has anchors and aliases")
            self._parse()
        except (UnicodeDecodeError, yaml.YAMLError):
            raise _Unreadable("is not valid YAML") from None

    def names(self) -> list[str]:
        """Return the names of all entries."""
        return [key.value for key, _ in self._mapping("clouds")]

    def entry(self, cloud: str = CLOUD) -> dict[str, str]:
        """Return the texts of an entry and of its login; raises _Unreadable if there is no such entry."""
        found: dict[str, str] = {}
        for pairs in (self._mapping("clouds", cloud), self._mapping("clouds", cloud, "auth")):
            found |= {key.value: node.value for key, node in pairs if _is_text(node)}
        return found

    def is_ours(self, auth_url: str) -> bool:
        """Return whether a URL is the one written here last, or a loopback one."""
        written = _WRITTEN_FOR.search(self._text)
        if written is not None:
            return auth_url == written[1] + _PATH
        return auth_url.endswith(_PATH) and urlsplit(auth_url).netloc.startswith(_LOOPBACK)

    def set(self, *keys: str, value: str | None, cloud: str = CLOUD) -> None:
        """Set one value of an entry; a new one is inserted first in its mapping."""
        pairs = self._mapping("clouds", cloud, *keys[:-1])
        shown = "null" if value is None else _quoted(value)
        for key, node in pairs:
            if key.value == keys[-1]:
                if node.id != "scalar" or node.style in {"|", ">"}:
                    raise _Unreadable(f"has no plain {key.value} in {cloud}")
                if not _is_text(node) or node.value != value:
                    self._replace(node.start_mark.index, node.end_mark.index, shown)
                return
        first, flow = pairs[0][0].start_mark, self._node("clouds", cloud, *keys[:-1]).flow_style
        behind = ", " if flow else "\n" + " " * first.column
        self._replace(first.index, first.index, f"{keys[-1]}: {shown}{behind}")

    def mark(self, url: str) -> None:
        """Record the URL for which the entry was written."""
        line = f"# Written for {url}"
        if _WRITTEN_FOR.search(self._text):
            self._text = _WRITTEN_FOR.sub(lambda _: line, self._text, count=1)
        else:
            self._text = f"{line}\n{self._text}"
        self._parse()

    def save(self) -> None:
        """Write the changes."""
        if self._text != self._read:
            _write(self._path, self._text)

    def _parse(self) -> None:
        self._root = self._yaml.compose(self._text, Loader=self._yaml.SafeLoader)

    def _replace(self, start: int, end: int, text: str) -> None:
        self._text = self._text[:start] + text + self._text[end:]
        self._parse()

    def _node(self, *keys: str) -> Any:
        node = self._root
        for key in keys:
            pairs = node.value if node is not None and node.id == "mapping" else []
            node = next((value for name, value in pairs if name.value == key), None)
        if node is None or node.id != "mapping" or not node.value:
            raise _Unreadable(f"has no {'.'.join(keys)}")
        return node

    def _mapping(self, *keys: str) -> list[tuple[Any, Any]]:
        return list(self._node(*keys).value)


def _is_text(node: Any) -> bool:
    return bool(node.id == "scalar" and node.tag != "tag:yaml.org,2002:null")


def _reason(error: Exception) -> str:
    return f"cannot be used ({error.strerror})" if isinstance(error, OSError) else str(error)


def _quoted(value: str) -> str:
    import yaml

    return str(yaml.safe_dump(value, default_style='"', width=float("inf"), allow_unicode=True)).strip()


def _write(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner only; the owner stays the same."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            with contextlib.suppress(OSError):  # only root may
                before = path.stat()
                os.fchown(descriptor, before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
