"""Every process that moves bytes limits the heaps of its memory allocator before it starts threads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tintype import data_folder, process
from tintype.settings import Settings
from tintype.wiring.service import Service


class Configured(Exception):
    """The allocator was configured."""


@pytest.mark.parametrize(
    ("module", "start"),
    [(process, process._app), (data_folder, data_folder.run_worker)],
    ids=["server", "worker"],
)
def test_few_arenas(
    module: object, start: Callable[[Service], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server process and `tintype worker` alike, and before anything else."""

    def keep_few_arenas() -> None:
        raise Configured

    def too_late(_logger: object) -> None:
        raise AssertionError("the logs were set up first")

    monkeypatch.setattr(module, "keep_few_arenas", keep_few_arenas, raising=False)
    monkeypatch.setattr(module, "route_libraries", too_late)
    with pytest.raises(Configured):
        start(Service(Settings(data_dir=tmp_path)))
