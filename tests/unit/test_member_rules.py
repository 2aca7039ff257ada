"""Sharing: valid members, and who sees which members."""

from typing import Any

import msgspec
import pytest

from tintype.domain import members
from tintype.domain.callers import Caller
from tintype.domain.images import Image
from tintype.errors import Forbidden, Invalid

IMAGE = Image("one", 0, 0, owner="alpha")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, 'Expected a member in the form: {"member": "project id"}'),
        (["member"], 'Expected a member in the form: {"member": "project id"}'),
        ({}, "Member to be added not specified"),
        ({"Member": "beta"}, "Member to be added not specified"),
        *(
            ({"member": wrong}, "The member must be a project id: a string that is not empty.")
            for wrong in (None, "", 7, ["beta"])
        ),
        *(
            ({"member": wrong}, "The member must be a project id of at most 255 characters.")
            for wrong in ("x" * 256, "a\0b")
        ),
    ],
)
def test_a_member_is_a_project_id(body: Any, message: str) -> None:
    """Anything else is refused with the reason."""
    with pytest.raises(Invalid) as refusal:
        members.checked_member_id(body)
    assert refusal.value.message == message


@pytest.mark.parametrize("member", ["beta", "x", "x" * 255, "a b"])
def test_a_member_is_taken_as_it_is(member: str) -> None:
    """Other members of the body do not matter."""
    assert members.checked_member_id({"member": member, "more": 1}) == member


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, 'Expected a status in the form: {"status": "accepted"}'),
        ("status", 'Expected a status in the form: {"status": "accepted"}'),
        ({}, "Status not specified"),
        *(
            ({"status": wrong}, "The status must be one of: pending, accepted, rejected.")
            for wrong in (None, "", "Accepted", "all", 1, ["accepted"])
        ),
    ],
)
def test_an_answer_is_one_of_three(body: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        members.checked_status(body)
    assert refusal.value.message == message


@pytest.mark.parametrize("status", ["pending", "accepted", "rejected"])
def test_each_answer_is_taken(status: str) -> None:
    assert members.checked_status({"status": status}) == status


@pytest.mark.parametrize("visibility", ["public", "community", "private"])
def test_only_shared_images_have_members(visibility: str) -> None:
    members.check_shareable(IMAGE)
    with pytest.raises(Forbidden) as refusal:
        members.check_shareable(msgspec.structs.replace(IMAGE, visibility=visibility))
    assert refusal.value.message == "Only shared images have members."


@pytest.mark.parametrize(
    ("project", "admin", "sees"),
    [("alpha", False, True), ("beta", False, False), ("beta", True, True), (None, False, False)],
)
def test_who_sees_every_member(project: str | None, admin: bool, sees: bool) -> None:
    """The owner and admins do; a member sees itself alone."""
    assert members.sees_all_members(IMAGE, Caller("u", "n", project, is_admin=admin)) is sees
