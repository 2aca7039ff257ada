"""A pytest plugin that runs mutants instead of the tests that were collected.

pytest loads and collects all tests once, and makes what they share. Then each mutant has a process forked
from that one, which runs the tests that reach the changed function until one fails.
"""

import gc
import hashlib
import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from forks import run_in_forks
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

SHARED: Final = Path("tests/test_shared.py")
"""In the working copy: a test of the fixture that most tests share, so that it is made before all forks."""
REACHED: Final = Path("reached.json")
"""In the working copy: by test the functions that it reaches, and the digest of its file."""
SECONDS: Final = 600
"""A process that takes longer is killed, and so is its mutant; the tests have a limit of their own."""
Record = Callable[[str, str], None]
"""Takes a mutant and the test that killed it, "timeout", "no tests", or "" where it survived."""


class MutantRuns:
    """Runs mutants, so many processes at a time, with at most `most` tests each, and records each result."""

    def __init__(self, mutants: list[str], processes: int, most: int | None, record: Record) -> None:
        self._mutants, self._processes, self._most, self._record = mutants, processes, most, record
        self._failed = False
        self._items: dict[str, pytest.Item] = {}
        self._shared: list[pytest.Item] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the mutants."""
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        self._items = {item.nodeid: item for item in session.items if item.path.name != SHARED.name}
        self._shared = [item for item in session.items if item.path.name == SHARED.name]
        for item in self._shared:
            self._run(item, next(iter(self._items.values())))
        gc.collect()  # ends the threads of what was shared
        reached = self._reached()
        order = {mutant: _tests(mutant, reached)[: self._most] for mutant in self._mutants}
        for mutant in (mutant for mutant, tests in order.items() if not tests):
            self._record(mutant, "no tests")
        tasks = [(mutant, tests) for mutant, tests in order.items() if tests]
        random.shuffle(tasks)  # so that a run that is broken off has tried some of each file
        for (mutant, _), killer in run_in_forks(tasks, self._kill, self._processes, SECONDS):
            self._record(mutant, "timeout" if killer is None else killer)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that a test has failed."""
        self._failed |= report.failed

    def _run(self, item: pytest.Item, other: pytest.Item | None = None) -> bool:
        """Run a test; return whether it passed. What it shares with the other one is kept."""
        self._failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=other or self._shared[0])
        return not self._failed

    def _kill(self, task: tuple[str, list[str]]) -> str:
        mutant, tests = task
        set_mutant_under_test(mutant)
        return next((test for test in tests if not self._run(self._items[test])), "")

    def _reached(self) -> dict[str, Any]:
        """Return what each test reaches; those of unchanged files are remembered from the run before."""
        known = json.loads(REACHED.read_text()) if REACHED.exists() else {}
        files = defaultdict(list)
        for item in self._items.values():
            files[item.path].append(item)
        digests = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        new = [
            (file, items)
            for file, items in files.items()
            if any(known.get(item.nodeid, {}).get("file") != digests[file] for item in items)
        ]
        for (file, items), found in run_in_forks(new, self._reach, self._processes, 10 * SECONDS):
            print(f"reached {len(found or ())} of {len(items)} {file.name}", flush=True)
            for item in items:
                known[item.nodeid] = {"file": digests[file], **(found or {}).get(item.nodeid, {})}
            REACHED.write_text(json.dumps(known))
        return {test: known[test] for test in self._items if "functions" in known[test]}

    def _reach(self, task: tuple[Path, list[pytest.Item]]) -> dict[str, Any]:
        """Return what the tests of a file reach; those that fail without any change have no place in it."""
        found = {}
        set_mutant_under_test("stats")
        for item in task[1]:
            state()._stats.clear()  # noqa: SLF001 (the range in pyproject.toml is narrow for it)
            began = time.monotonic()
            if self._run(item):
                functions = sorted(state()._stats)  # noqa: SLF001
                found[item.nodeid] = {"functions": functions, "seconds": time.monotonic() - began}
        return found


def _tests(mutant: str, reached: dict[str, Any]) -> list[str]:
    """Return the tests that reach a mutant: of each file first the one that is most about its module."""
    function = mangled_name_from_mutant_name(mutant)
    module = f"{function.rpartition('.')[0]}."
    files = defaultdict(list)
    for test, entry in reached.items():
        if function in entry["functions"]:
            own = sum(name.startswith(module) for name in entry["functions"])
            share = own / len(entry["functions"])
            files[test.partition("::")[0]].append((-share, entry["seconds"], test))
    ranked = [(rank, *entry) for tests in files.values() for rank, entry in enumerate(sorted(tests))]
    return [test for *_, test in sorted(ranked)]


def run(mutants: list[str], tests: list[str], processes: int, most: int | None, record: Record) -> int:
    """Run mutants in the working copy, with the tests of these files; return pytest's exit status."""
    SHARED.write_text("def test_shared(prepared: object) -> None:\n    pass\n")
    os.environ["PY_IGNORE_IMPORTMISMATCH"] = "1"
    options = ["-q", "-s", "-p", "no:cacheprovider", "--timeout=60", "--rootdir=."]
    return int(
        pytest.main([*options, str(SHARED), *tests], plugins=[MutantRuns(mutants, processes, most, record)])
    )
