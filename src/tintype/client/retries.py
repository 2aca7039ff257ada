"""Decides when a failed request may be sent again, and after how long. Pure."""

import random
from typing import Any, Final

from tintype.client.errors import CommunicationError, HTTPError
from tintype.client.requests import Request

_FIRST: Final = 0.25
_LONGEST: Final = 10.0
_NOT_TAKEN: Final = frozenset({429, 503})
"""With these the server has not processed the request."""
_UNKNOWN: Final = frozenset({502, 504})
_TRANSIENT: Final = frozenset({408, 409, 423, 429, 460})
"""409 is an offset that another request has changed."""


class NotSent(CommunicationError):
    """The connection was not established, so the server has not received the request."""


class TokenRenewed(CommunicationError):
    """The token expired during the request; the next attempt uses a new one."""


def may_repeat(request: Request[Any], failure: Exception) -> bool:
    """Return whether the same request may be sent again after a failure."""
    if isinstance(failure, NotSent):
        return True
    if isinstance(failure, CommunicationError):
        return request.safe_to_repeat
    if isinstance(failure, HTTPError):
        return failure.code in _NOT_TAKEN or (failure.code in _UNKNOWN and request.safe_to_repeat)
    return False


def is_transient(failure: Exception) -> bool:
    """Return whether a failure is transient, so that the transfer can be resumed later."""
    if isinstance(failure, HTTPError):
        return failure.code in _TRANSIENT or (failure.code >= 500 and failure.code not in {501, 505})
    return isinstance(failure, CommunicationError)


def pause(attempt: int, failure: Exception) -> float:
    """Return the seconds to wait after an attempt (from 1): the server's choice, else exponential backoff."""
    wished = getattr(failure, "retry_after", None)
    if wished is not None:
        return float(min(wished, _LONGEST))
    longest = min(_FIRST * 2**attempt, _LONGEST)
    return random.uniform(longest / 2, longest)  # noqa: S311  jitter: clients must not return all at once
