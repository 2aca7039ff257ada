"""Change the code in small ways, one at a time, and report which changes no test notices.

    tools/mutants.py [PATH ...] [--sample N] [--seed S] [--children N]

Paths are files or folders below src/tintype/domain, policy or services; all three without any. With --sample
only so many mutants of each file are tried, chosen at random by the seed. The tests that are run are those of
TESTS that reach the changed function. The working copy is kept in mutants/, so that a second run is short.
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths

SOURCE: Final = Path("src/tintype")
RULES: Final = ("domain", "policy")
TESTS: Final = {RULES: [Path("tests/unit")], ("services",): [Path("tests/api"), Path("tests/contract")]}
"""By the rooms that are changed: the folders of tests, of which the files are taken that name a room."""


def main() -> None:
    """Run, and report by file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "paths", nargs="*", type=Path, default=[SOURCE / room for room in (*RULES, "services")]
    )
    parser.add_argument("--sample", type=int, help="mutants of each file; all of them without it")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--children", type=int, default=2, help="mutants at the same time")
    asked = parser.parse_args()
    for rooms, folders in TESTS.items():
        wanted = [file for file in _files(asked.paths) if file.relative_to(SOURCE).parts[0] in rooms]
        if wanted:
            _run(wanted, rooms, _tests(rooms, folders), asked)


def _files(paths: list[Path]) -> list[Path]:
    found = {file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])}
    return sorted(file for file in found if file.name != "__init__.py")


def _tests(rooms: tuple[str, ...], folders: list[Path]) -> list[str]:
    names = re.compile("service" if "services" in rooms else rf"tintype\.({'|'.join(rooms)})\b")
    found = (file for folder in folders for file in sorted(folder.glob("test_*.py")))
    return [str(file) for file in found if names.search(file.read_text())]


def _run(wanted: list[Path], rooms: tuple[str, ...], tests: list[str], asked: argparse.Namespace) -> None:
    config().only_mutate = [str(SOURCE / room / "*.py") for room in rooms]
    config().pytest_add_cli_args_test_selection = tests
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    mutmut.create_mutants(asked.children)
    chance = random.Random(asked.seed)  # noqa: S311 (a sample, no secret)
    names: list[str] = []
    for file in wanted:
        made = sorted(_results(file))
        few = asked.sample is not None and len(made) > asked.sample
        names += chance.sample(made, asked.sample) if few else made
    mutmut._run(names, asked.children)  # noqa: SLF001 (the range in pyproject.toml is narrow for it)
    _report(wanted, set(names))


def _results(file: Path) -> dict[str, int | None]:
    """Return the exit status of the tests for each mutant of a file."""
    kept = json.loads((Path("mutants") / f"{file}.meta").read_text())
    return dict(kept["exit_code_by_key"])


def _report(files: list[Path], names: set[str]) -> None:
    whole: Counter[str] = Counter()
    alive = []
    for file in files:
        results = {name: status_by_exit_code[code] for name, code in _results(file).items() if name in names}
        count = Counter(
            "killed" if status in {"killed", "timeout"} else status for status in results.values()
        )
        whole += count
        alive += [name for name, status in results.items() if status in {"survived", "no tests"}]
        print(f"{_share(count):>6}  {count['killed']:>4} of {count.total():>4}  {file}")
    print(f"{_share(whole):>6}  {whole['killed']:>4} of {whole.total():>4}  all: {dict(whole)}")
    for name in alive:
        print(f"alive: {name}")
    print("Show one with: mutmut show NAME", file=sys.stderr)


def _share(count: Counter[str]) -> str:
    return f"{100 * count['killed'] / count.total():.1f}%" if count.total() else "-"


if __name__ == "__main__":
    main()
