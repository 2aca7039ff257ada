"""Change the code in small ways, one at a time, and report which changes no test notices.

    tools/mutants.py [PATH ...] [--sample N] [--seed S] [--tests N] [--alive] [--processes N]

Paths are files or folders below src/tintype/domain, policy or services; all three without any. With --sample
only so many mutants of each file are tried, chosen at random by the seed. With --tests a mutant is tried with
at most so many of the tests that reach it; --alive leaves out those that a run before has killed. The
working copy is kept in mutants/, with what each test reaches, so that a second run is short.
"""

import argparse
import json
import os
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from mutmut import __main__ as mutmut
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths

SOURCE: Final = Path("src/tintype")
RULES: Final = ("domain", "policy")
TESTS: Final = {RULES: [Path("tests/unit")], ("services",): [Path("tests/api"), Path("tests/contract")]}
"""By the packages that are changed: the folders of tests, of which those files are taken that name them."""
PACKAGES: Final = tuple(package for packages in TESTS for package in packages)
COPY: Final = Path("mutants")
_POSTPONE: Final = "from __future__ import annotations; "
RESULTS: Final = COPY.absolute() / "results.json"
"""By mutant: the test that killed it, "timeout", "no tests", or "" for one that survived."""


def main() -> None:
    """Run, and report by file."""
    asked = _arguments()
    _make_mutants(asked.processes)
    chance = random.Random(asked.seed)  # noqa: S311 (a sample, no secret)
    for packages, folders in TESTS.items():
        files = [file for file in _files(asked.paths) if file.relative_to(SOURCE).parts[0] in packages]
        mutants = [name for file in files for name in _choose(file, asked, chance)]
        if mutants:
            _run(mutants, _tests(packages, folders), asked)
            _report(files, set(mutants))
    print("Show one with: mutmut show NAME", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[SOURCE / package for packages in TESTS for package in packages],
    )
    parser.add_argument("--sample", type=int, help="mutants of each file; all of them without it")
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--tests", type=int, help="tests of each mutant; all that reach it without it")
    parser.add_argument("--alive", action="store_true", help="those only that no run before has killed")
    parser.add_argument("--processes", type=int, default=2, help="mutants at the same time")
    return parser.parse_args()


def _make_mutants(processes: int) -> None:
    set_mutant_under_test("mutant_generation")
    COPY.mkdir(exist_ok=True)
    for file in [file for package in PACKAGES for file in (COPY / SOURCE / package).glob("*.py")]:
        if not file.with_suffix(".py.meta").exists():  # its mutants were not finished
            file.unlink()
    copy_src_dir()
    copy_also_copy_files()
    setup_source_paths()
    mutmut.create_mutants(processes)
    for file in COPY.rglob("*.py.meta"):
        _postpone_annotations(file.with_suffix(""))


def _postpone_annotations(file: Path) -> None:
    """Leave annotations unevaluated: in the copy `list[Member]` comes after the method `list` of a class."""
    text = file.read_text()
    if _POSTPONE not in text:
        file.write_text(re.sub(r"^(?=import |from )", _POSTPONE, text, count=1, flags=re.MULTILINE))


def _files(paths: list[Path]) -> list[Path]:
    found = {file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])}
    return sorted(file for file in found if file.name != "__init__.py")


def _choose(file: Path, asked: argparse.Namespace, chance: random.Random) -> list[str]:
    made = sorted(json.loads((COPY / f"{file}.meta").read_text())["exit_code_by_key"])
    if asked.sample is not None and len(made) > asked.sample:
        made = chance.sample(made, asked.sample)
    if asked.alive:
        results = _results()
        made = [name for name in made if _status(results.get(name, "")) != "killed"]
    return made


def _tests(packages: tuple[str, ...], folders: list[Path]) -> list[str]:
    names = re.compile("service" if "services" in packages else rf"tintype\.({'|'.join(packages)})\b")
    found = (file for folder in folders for file in sorted(folder.glob("test_*.py")))
    return [str(file) for file in found if names.search(file.read_text())]


def _run(mutants: list[str], tests: list[str], asked: argparse.Namespace) -> None:
    process = os.fork()  # pytest and all that it loads are for these mutants only
    if not process:
        os.chdir(COPY)
        from mutant_runs import run  # not before the working copy is where modules are found

        os._exit(run(mutants, tests, asked.processes, asked.tests, _record))
    if os.waitpid(process, 0)[1]:
        sys.exit("the tests could not be run")


def _record(mutant: str, killer: str) -> None:
    RESULTS.write_text(json.dumps(_results() | {mutant: killer}, indent=1))
    print(f"{_status(killer)}: {mutant} {killer}", flush=True)


def _results() -> dict[str, str]:
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def _report(files: list[Path], mutants: set[str]) -> None:
    results = {name: killer for name, killer in _results().items() if name in mutants}
    whole: Counter[str] = Counter()
    for file in files:
        module = ".".join(file.with_suffix("").parts[1:])
        count = Counter(_status(killer) for name, killer in results.items() if name.startswith(f"{module}.x"))
        whole += count
        print(f"{_share(count):>6}  {count['killed']:>4} of {count.total():>4}  {file}")
    print(f"{_share(whole):>6}  {whole['killed']:>4} of {whole.total():>4}  all: {dict(whole)}")
    for name, killer in sorted(results.items()):
        if _status(killer) != "killed":
            print(f"{_status(killer)}: {name}")


def _status(killer: str) -> str:
    return {"": "alive", "no tests": "no tests"}.get(killer, "killed")


def _share(count: Counter[str]) -> str:
    return f"{100 * count['killed'] / count.total():.1f}%" if count.total() else "-"


if __name__ == "__main__":
    main()
