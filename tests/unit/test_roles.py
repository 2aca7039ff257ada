"""Roles of the built-in identity, and names of those who have them."""

import pytest

from tintype.domain import identity
from tintype.errors import Invalid


@pytest.mark.parametrize(
    ("granted", "expanded"),
    [
        ([], set()),
        (["admin"], {"admin", "member", "reader"}),
        (["member"], {"member", "reader"}),
        (["reader"], {"reader"}),
        (["service"], {"service"}),
        (["reader", "service"], {"reader", "service"}),
        (["operator"], {"operator"}),
        (["operator", "member"], {"operator", "member", "reader"}),
    ],
)
def test_what_a_role_implies(granted: list[str], expanded: set[str]) -> None:
    """A role of another identity implies itself alone."""
    assert identity.expanded(granted) == expanded


def test_roles_that_there_are() -> None:
    for role in ("admin", "member", "reader", "service"):
        identity.check_role(role)
    for role in ("", "Admin", "operator"):
        with pytest.raises(Invalid) as refusal:
            identity.check_role(role)
        assert refusal.value.message == f"There is no role {role}. There are: admin, member, reader, service."


@pytest.mark.parametrize("name", ["a", "x" * 255, "a b", "Ä", "日本"])
def test_names(name: str) -> None:
    identity.check_name("user", name)


@pytest.mark.parametrize("name", ["", "x" * 256, " a", "a ", "a\n", "a\0b", "\t", "a\u200bb"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        identity.check_name("project", name)
    assert refusal.value.message == (
        "The name of a project has 1 to 255 printable characters, no space at its ends."
    )
