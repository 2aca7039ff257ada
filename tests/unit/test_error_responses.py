"""What went wrong, in HTTP: the status and the headers of every kind of failure."""

import pytest

from tintype import errors
from tintype.api.errors import headers_of, status_of

FAILURES = [
    (errors.Invalid(""), 400, {}),
    (errors.BadRange("", size=7), 416, {"Content-Range": "bytes */7"}),
    (errors.ChecksumMismatch(""), 460, {}),
    (errors.Unauthenticated(""), 401, {}),
    (errors.Forbidden(""), 403, {}),
    (errors.NotFound(""), 404, {}),
    (errors.Conflict(""), 409, {}),
    (errors.Locked(""), 423, {}),
    (errors.Locked("", retry_after=5), 423, {"Retry-After": "5"}),
    (errors.VersionMismatch("", supported="1.0.0"), 412, {"Tus-Version": "1.0.0"}),
    (errors.Gone(""), 410, {}),
    (errors.OverLimit(""), 413, {}),
    (errors.UnsupportedMedia(""), 415, {}),
    (errors.UnsupportedMedia("", patch_types=("a/b", "c/d")), 415, {"Accept-Patch": "a/b, c/d"}),
    (errors.Disconnected(""), 499, {}),
    (errors.TooSlow(""), 408, {}),
    (errors.TooSlow("", closes=True), 408, {"Connection": "close"}),
    (errors.TooManyAttempts(""), 429, {}),
    (errors.TooManyAttempts("", retry_after=60), 429, {"Retry-After": "60"}),
    (errors.Unimplemented(""), 501, {}),
    (errors.Unavailable(""), 503, {}),
    (errors.Unavailable("", retry_after=1), 503, {"Retry-After": "1"}),
    (errors.StartError(""), 500, {}),
]


@pytest.mark.parametrize(("error", "status", "headers"), FAILURES, ids=lambda value: type(value).__name__)
def test_status_and_headers(error: errors.TintypeError, status: int, headers: dict[str, str]) -> None:
    """Attributes become headers; what is not known is not said."""
    assert (status_of(error), headers_of(error)) == (status, headers)


def test_every_kind_is_in_the_table() -> None:
    """A new kind of failure without a row above fails here."""
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.TintypeError)
    }
    assert kinds - {errors.TintypeError, errors.Temporary} == {type(error) for error, _, _ in FAILURES}
