"""Limits how much freed memory glibc's allocator keeps. With other C libraries these functions do nothing."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""The parameter M_ARENA_MAX of `mallopt`."""
_ARENAS: Final = 2
"""glibc's default is eight for each core. Each keeps the freed memory of request bodies that its threads have
read, and arenas do not share it."""
_library: Final = ctypes.CDLL(None)


def keep_few_arenas() -> None:
    """Limit how many heaps the threads of this process allocate from; call it before there are threads."""
    if (mallopt := getattr(_library, "mallopt", None)) is not None:
        mallopt(_ARENA_MAX, _ARENAS)


def return_memory() -> None:
    """Return free pages to the system. Blocks for some milliseconds: call it in a thread."""
    if (malloc_trim := getattr(_library, "malloc_trim", None)) is not None:
        malloc_trim(0)
