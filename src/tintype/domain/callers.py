"""The caller of a request."""

import msgspec

from tintype.domain.access_rules import AccessRule
from tintype.domain.quotas import Quota


class Caller(msgspec.Struct, frozen=True):
    """An authenticated user working in one project."""

    user_id: str
    user_name: str
    project_id: str | None
    """The project the token is scoped to. Without one there are no roles, so no access to images."""
    roles: frozenset[str] = frozenset()
    """Role names in lower case, implied ones included."""
    is_admin: bool = False
    """Whether the caller has all rights (Glance's `context_is_admin`)."""
    quota: Quota = Quota()
    """The limits of the project."""
    service_roles: frozenset[str] = frozenset()
    """Roles of the service that acts for the user, if one does."""
    access_rules: tuple[AccessRule, ...] | None = None
    """The only requests that the token may be used for; None for any."""
