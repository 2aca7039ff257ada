"""Marks of folders: a file that identifies a store's folder wherever it is mounted or moved to."""

import contextlib
import os
from pathlib import Path
from typing import Final

MARK: Final = ".tintype-store"


def folder_mark(folder: Path) -> str | None:
    """Return a folder's mark; None for a new folder, or one that does not exist."""
    try:
        return (folder / MARK).read_text().strip()
    except FileNotFoundError:
        return None


def set_folder_mark(folder: Path, mark: str) -> str:
    """Mark a folder unless another process has just done so; return its mark."""
    draft = _draft(folder, mark)
    with contextlib.suppress(FileExistsError):
        os.link(draft, folder / MARK)
    draft.unlink()
    return (folder / MARK).read_text().strip()


def replace_folder_mark(folder: Path, mark: str) -> None:
    """Replace the folder's mark; services that know the old mark reject the folder."""
    _draft(folder, mark).replace(folder / MARK)


def _draft(folder: Path, mark: str) -> Path:
    draft = folder / f"{MARK}.{mark}"
    draft.write_text(f"{mark}\n")
    return draft
