"""Sizes as people read them: never 0 of anything that is there."""

import pytest

from tintype.domain.tasks import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (700_000, "683.6 KiB")),
        *(
            ((1 << 20) - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            ((1 << 60) - 1, "1.0 EiB"),
            (2**63 - 1, "8.0 EiB"),
        ),
    ],
)
def test_the_unit_fits(size: int, text: str) -> None:
    """One decimal, in the unit that leaves fewer than 1,024."""
    assert size_text(size) == text
