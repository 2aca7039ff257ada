"""When a request that failed may be sent again, and after how long. Pure."""

import random
from typing import Any, Final

from tintype.client.errors import CommunicationError, HTTPError
from tintype.client.requests import Request

_FIRST: Final = 0.25
_LONGEST: Final = 10.0
_NOT_TAKEN: Final = frozenset({429, 503})
"""The server says that it did nothing."""
_UNKNOWN: Final = frozenset({502, 504})
_PASSING: Final = frozenset({408, 409, 423, 429, 460})
"""409 is an offset that another request has moved."""


class NotSent(CommunicationError):
    """The connection was not made, so the server knows of nothing."""


class Renewed(CommunicationError):
    """The token was over in the middle; the next attempt has a new one."""


def may_repeat(request: Request[Any], failure: Exception) -> bool:
    """Say whether the same request may be sent once more after a failure."""
    if isinstance(failure, NotSent):
        return True
    if isinstance(failure, CommunicationError):
        return request.safe_to_repeat
    if isinstance(failure, HTTPError):
        return failure.code in _NOT_TAKEN or (failure.code in _UNKNOWN and request.safe_to_repeat)
    return False


def passing(failure: Exception) -> bool:
    """Say whether a transfer that failed so may well go on later."""
    if isinstance(failure, HTTPError):
        return failure.code in _PASSING or (failure.code >= 500 and failure.code not in {501, 505})
    return isinstance(failure, CommunicationError)


def pause(attempt: int, failure: Exception) -> float:
    """Give the seconds before an attempt, from 1 on: what the server wishes, else twice as long each time."""
    wished = getattr(failure, "retry_after", None)
    if wished is not None:
        return float(min(wished, _LONGEST))
    longest = min(_FIRST * 2**attempt, _LONGEST)
    return random.uniform(longest / 2, longest)  # noqa: S311  so that clients do not come back all at once
