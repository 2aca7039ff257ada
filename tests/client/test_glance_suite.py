"""The unit tests that come with python-glanceclient run against our face of it: only imports are changed.

They come with its package, where they are read; `LEFT_OUT` says which of them cannot apply, and why.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import glanceclient.tests
import pytest

ROOT: Final = Path(glanceclient.tests.__file__).parent
SUITE: Final = "glance_suite"
MODULES_LEFT_OUT: Final = {
    "test_shell_v2": "tests of the `glance` command: ours is `tintype`",
    "test_client_requests": "replaces the answers of the requests library, which we do not send with; "
    "tests/client/test_glance_face.py does the same over a real connection",
}
LEFT_OUT: Final = {
    "test_list_images_filters_encoding": "wants the caller's own dict of filters to be changed",
    "test_list_tasks_filters_encoding": "wants the caller's own dict of filters to be changed",
}


class Suite(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):  # type: ignore[misc]  # typeshed's
    """Finds glanceclient's tests under another name, with imports of what they test turned to ours."""

    def find_spec(self, name: str, *_others: object) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] != SUITE:
            return None
        path = ROOT.joinpath(*name.split(".")[1:])
        place = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return importlib.util.spec_from_loader(name, self, origin=str(place), is_package=path.is_dir())

    def get_filename(self, name: str) -> str:
        found = importlib.util.find_spec(name)
        assert found is not None
        return str(found.origin)

    def get_data(self, path: str) -> bytes:
        text = Path(path).read_text()
        for theirs, ours in ((r"glanceclient\.tests", SUITE), ("glanceclient", "tintype.client.glance")):
            text = re.sub(rf"^(from|import) {theirs}", rf"\1 {ours}", text, flags=re.MULTILINE)
        return text.encode()


def modules() -> list[str]:
    names = sorted(path.stem for path in (ROOT / "unit" / "v2").glob("test_*.py"))
    return [name for name in names if name not in MODULES_LEFT_OUT]


@pytest.fixture(scope="module")
def suite() -> Iterator[None]:
    finder = Suite()
    sys.meta_path.insert(0, finder)
    yield
    sys.meta_path.remove(finder)


def flat(tests: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the cases of a suite and of the suites in it."""
    for each in tests:
        if isinstance(each, unittest.TestSuite):
            yield from flat(each)
        else:
            yield each


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{SUITE}.unit.v2.{name}")


@pytest.mark.parametrize("name", modules())
def test_their_tests_pass(suite: None, name: str) -> None:
    """Each test of a module passes, but for those that are left out with a reason."""
    cases = unittest.defaultTestLoader.loadTestsFromModule(load(name))
    wanted = [case for case in flat(cases) if case._testMethodName not in LEFT_OUT]
    assert wanted, f"{name} has no tests"
    result = unittest.TestResult()
    unittest.TestSuite(wanted).run(result)
    told = [f"{case.id()}\n{text}" for case, text in (*result.failures, *result.errors)]
    assert not told, "\n".join(told)
    assert result.testsRun == len(wanted)
    assert not result.skipped


def test_what_is_left_out_is_there(suite: None) -> None:
    """Each exception names a test, or a module, that glanceclient has."""
    names = {path.stem for path in (ROOT / "unit" / "v2").glob("test_*.py")}
    assert set(MODULES_LEFT_OUT) <= names
    tests = {
        case._testMethodName
        for name in modules()
        for case in flat(unittest.defaultTestLoader.loadTestsFromModule(load(name)))
    }
    assert set(LEFT_OUT) <= tests
