# Made by `make docs` of ../aio; do not edit.
"""Looks up projects by name in the identity service, if the caller may."""

import re
from collections.abc import Iterable
from typing import Final

from tintype.client import errors
from tintype.client.blocking.transport import Transport
from tintype.client.models import Project
from tintype.client.operations import projects

_ID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""The form of ids in identity services."""


def find(transport: Transport, name_or_id: str) -> str:
    """Return the id of a project; see `Members.find_project`."""
    access = transport.access()
    if access.identity_url is None:
        if _ID.fullmatch(name_or_id) or "X-Auth-Token" not in access.headers:
            return name_or_id
        raise errors.BadRequest(
            f"{name_or_id!r} is no id of a project (32 hexadecimal digits), and this login does not tell "
            "which identity service could look up its name. Use the id."
        )
    looks_like_an_id = bool(_ID.fullmatch(name_or_id))
    try:
        return (transport.send(projects.get(access.identity_url, name_or_id))).id
    except errors.Forbidden:
        if looks_like_an_id:
            return name_or_id  # the caller may not know whether it exists
    except errors.NotFound:
        pass
    try:
        found = transport.send(projects.named(access.identity_url, name_or_id))
    except errors.Forbidden:
        mine = transport.send(projects.own(access.identity_url))
        if any(each.name == name_or_id for each in mine):
            return _one(name_or_id, mine)
        raise errors.Forbidden(
            f"The identity service does not let you look up projects by name. Use the id of {name_or_id!r} "
            "(32 hexadecimal digits): its owner sees it with 'openstack token issue', an administrator with "
            "'openstack project show'.",
            code=403,
        ) from None
    return _one(name_or_id, found)


def _one(name: str, found: Iterable[Project]) -> str:
    named = [each for each in found if each.name == name]
    if not named:
        raise errors.NotFound(f"There is no project {name!r}.", code=404)
    if len(named) > 1:
        places = ", ".join(f"{each.id} in domain {each.domain_id}" for each in named)
        raise errors.Conflict(f"Several projects are called {name!r}: {places}. Use an id.", code=409)
    return named[0].id
