"""The suite for authors of stores: its example passes, and a store that breaks a promise is found out."""

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tintype.blobs.memory import MemoryStore
from tintype.testing import stores

EXAMPLE = Path(__file__).parents[2] / "docs/howto/test-a-store.md"


def test_the_example_of_the_documentation_passes(tmp_path: Path) -> None:
    """As an author would run it: the only code of the page, with pytest."""
    (code,) = re.findall(r"```python\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)
    (tmp_path / "test_shelf.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    done = subprocess.run([*command, tmp_path], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    checks = stores.checks_of(NotResumable("shelf"))  # type: ignore[arg-type]
    assert f"{len(checks)} passed" in done.stdout


class NotResumable:
    """A store with the verbs alone."""

    def __init__(self, store_id: str) -> None:
        self.id = store_id


def test_abilities_bring_tests() -> None:
    """A resumable store has more to prove, a read-only one less."""
    plain = stores.checks_of(NotResumable("plain"))  # type: ignore[arg-type]
    resumable = stores.checks_of(MemoryStore("memory", 1))
    assert set(plain) < set(resumable)
    assert stores.goes_on_in_another_process in set(resumable) - set(plain)
    read_only = stores.checks_of(NotResumable("plain"), read_only=True)  # type: ignore[arg-type]
    assert stores.refuses_to_write in read_only
    assert stores.deletes not in read_only


async def _nothing(*_arguments: object) -> None:
    """Do nothing."""


async def _no_size(*_arguments: object) -> None:
    """Know of no bytes."""


@pytest.mark.parametrize(
    ("verb", "broken", "check", "says"),
    [
        ("delete", _nothing, stores.deletes, "deleted bytes are gone"),
        ("size", _no_size, stores.reads_what_was_stored, "size() tells the number of bytes"),
        ("delete", _nothing, stores.is_given_up_without_a_trace, "leave nothing behind"),
        ("create", _nothing, stores.refuses_to_write, "must raise Invalid"),
    ],
)
async def test_a_broken_promise_is_named(
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    broken: Callable[..., Awaitable[None]],
    check: stores.Check,
    says: str,
) -> None:
    """A store that only says that it has done something fails, with the promise in words."""
    monkeypatch.setattr(MemoryStore, verb, broken)
    store = MemoryStore("memory", 100 << 20)
    with pytest.raises(AssertionError) as failure:
        await check(store, stores.by_writing(store))
    assert says in str(failure.value)
