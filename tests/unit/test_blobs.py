"""The states of a blob: exactly the transitions in the table are allowed."""

import itertools

import pytest

from tintype.db import blobs as rows
from tintype.db.engine import Transaction
from tintype.domain.blobs import (
    CONDEMNED,
    PARTIAL,
    READY,
    STAGED,
    TRANSITIONS,
    WRITING,
    Blob,
    check_transition,
)
from tintype.errors import Conflict

STATES = (WRITING, PARTIAL, STAGED, READY, CONDEMNED)
ALLOWED = {
    (WRITING, READY),
    (WRITING, STAGED),
    (WRITING, PARTIAL),
    (WRITING, CONDEMNED),
    (PARTIAL, WRITING),
    (PARTIAL, CONDEMNED),
    (STAGED, READY),
    (STAGED, CONDEMNED),
    (READY, CONDEMNED),
}


def test_every_state_is_in_the_table() -> None:
    """A state that is missing there would be found only when a blob is in it."""
    assert set(TRANSITIONS) == set(STATES)


@pytest.mark.parametrize("edge", itertools.product(STATES, STATES), ids="-".join)
def test_edges(edge: tuple[str, str]) -> None:
    """Each allowed edge passes, each other one is refused, also from a state to itself."""
    if edge in ALLOWED:
        check_transition(*edge)
    else:
        with pytest.raises(Conflict):
            check_transition(*edge)


@pytest.mark.parametrize("edge", sorted(set(itertools.product(STATES, STATES)) - ALLOWED), ids="-".join)
async def test_no_statement_moves_along_another_edge(edge: tuple[str, str]) -> None:
    """They are refused before the database is asked."""
    old, new = edge
    tx: Transaction = None  # type: ignore[assignment]
    with pytest.raises(Conflict):
        await rows.move(tx, "id", old, new)
    with pytest.raises(Conflict):
        await rows.expire(tx, Blob("id", "store", "image", old), new, 0)
    with pytest.raises(Conflict):
        rows._move(old, new)


def test_the_key_of_bytes() -> None:
    """Ours are named by the blob's id, those of others by their place in the store."""
    assert Blob("id", "store", "image").key == "id"
    assert Blob("id", "store", "image", READY, "place").key == "=place"
