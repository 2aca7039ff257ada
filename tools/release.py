"""Build a release: sdist, wheel and bill of materials in dist/, all checked; then tag the version.

python tools/release.py [--dry-run]    # --dry-run: build and check, any tree, no tag
"""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
EXTRAS = "server,postgres,keystone,tracing,glance,objects"


def main(*, dry_run: bool) -> None:
    """Build, check, and tag unless it is a dry run. Any failure ends it with a message."""
    version = _version()
    if not dry_run:
        refuse_unready(version)
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    check_contents(DIST / f"tintype-{version}.tar.gz")
    built = sorted(str(path) for path in DIST.iterdir())
    _run(sys.executable, "-m", "twine", "check", "--strict", *built)
    write_sbom(version)
    print("\n".join(path.name for path in sorted(DIST.iterdir())))
    if dry_run:
        return
    _run("git", "tag", "--annotate", f"v{version}", "--message", f"Tintype {version}")
    print(f"Tagged v{version}. Publish: git push origin v{version} && twine upload dist/*.whl dist/*.tar.gz")


def refuse_unready(version: str) -> None:
    """Exit unless the tree is clean, the tag is free and the changelog has the version."""
    if _output("git", "status", "--porcelain"):
        sys.exit("The working tree has changes. Commit or stash them.")
    if _output("git", "tag", "--list", f"v{version}"):
        sys.exit(f"The tag v{version} exists. Raise __version__ in src/tintype/__init__.py.")
    if not re.search(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    ):
        sys.exit(f"CHANGELOG.md has no heading '## {version} - YYYY-MM-DD'. Rename 'Unreleased'.")


def check_contents(sdist: Path) -> None:
    """Exit if the sdist has files that the repository does not have."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    known = set(_output("git", "ls-files").splitlines())
    if foreign := names - known - {"PKG-INFO"}:
        sys.exit(f"The sdist has files that are not in the repository: {', '.join(sorted(foreign))}")


def write_sbom(version: str) -> None:
    """Write the CycloneDX bill of materials of an installation of the wheel with all extras for servers."""
    target = DIST / f"tintype-{version}.cdx.json"
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "venv", "bin", "python")
        _run(sys.executable, "-m", "venv", str(python.parents[1]))
        wheel = next(DIST.glob("*.whl"))
        _run(str(python), "-m", "pip", "install", "--quiet", f"{wheel}[{EXTRAS}]")
        _run(str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
        described = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-file", str(target), str(python)]
        _run(*command, *described)
    bill = json.loads(target.read_text())
    if not bill.get("components"):
        sys.exit("The bill of materials is empty.")
    bill["metadata"]["component"]["version"] = version  # pyproject.toml does not have it
    target.write_text(json.dumps(bill, indent=2) + "\n")


def _version() -> str:
    """Return the version from its one place."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "src/tintype/__init__.py").read_text(), re.MULTILINE)
    return found[1] if found else sys.exit("src/tintype/__init__.py has no __version__.")


def _run(*command: str) -> None:
    """Run a command; exit with its status if it fails."""
    if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(status)


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(dry_run="--dry-run" in sys.argv[1:])
