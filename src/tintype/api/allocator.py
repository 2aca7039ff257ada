"""glibc's memory allocator, told not to keep what bodies have used; other C libraries need no telling."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""The parameter M_ARENA_MAX of `mallopt`."""
_ARENAS: Final = 2
"""glibc takes eight for each core: each keeps memory of bodies that threads have read, of sizes that come and
go, and none gives it to another."""
_library: Final = ctypes.CDLL(None)


def keep_few_arenas() -> None:
    """Limit how many heaps the threads of this process allocate from; call it before there are threads."""
    if (mallopt := getattr(_library, "mallopt", None)) is not None:
        mallopt(_ARENA_MAX, _ARENAS)


def return_memory() -> None:
    """Give free pages back to the system. Blocks for some milliseconds: call it in a thread."""
    if (malloc_trim := getattr(_library, "malloc_trim", None)) is not None:
        malloc_trim(0)
