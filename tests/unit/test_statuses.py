"""The statuses of an image: which it may change to from which, by which use case, and no others."""

import itertools

import msgspec
import pytest

from tintype.domain import images
from tintype.domain.images import Image
from tintype.errors import Conflict, Forbidden, Invalid

STATUSES = ("queued", "saving", "uploading", "importing", "active", "deactivated", "deleted")
ALLOWED = {
    *(("queued", status) for status in ("saving", "uploading", "importing", "active", "deleted")),
    *(("saving", status) for status in ("active", "queued", "deleted")),
    *(("uploading", status) for status in ("importing", "queued", "deleted")),
    *(("importing", status) for status in ("active", "queued", "deleted")),
    *(("active", status) for status in ("deactivated", "deleted")),
    *(("deactivated", status) for status in ("active", "deleted")),
}


def image(status: str, **attributes: object) -> Image:
    made = Image("one", 0, 0, owner="alpha", status=status, disk_format="raw", container_format="bare")
    return msgspec.structs.replace(made, **attributes)


@pytest.mark.parametrize(("before", "after"), itertools.product(STATUSES, STATUSES))
def test_each_transition_is_in_the_table_or_refused(before: str, after: str) -> None:
    """Bytes that are shown are never waited for again, and what is deleted stays deleted."""
    if (before, after) in ALLOWED:
        assert images.changed_status(image(before), after).status == after
        return
    with pytest.raises(Conflict) as refusal:
        images.changed_status(image(before), after)
    if before == after == "saving":
        assert refusal.value.message == "Image one is being uploaded already."
    else:
        assert refusal.value.message == f"Image status transition from {before} to {after} is not allowed"


def test_only_the_service_itself_ends_a_task() -> None:
    """An image that a task is at work on takes no upload; whatever the task does, it may do."""
    worked_on = image("queued", import_task="a task")
    for status in ("saving", "uploading"):
        with pytest.raises(Conflict, match=r"A task is at work on the image 'one' already: a task\."):
            images.changed_status(worked_on, status)
    assert images.changed_status(worked_on, "importing").status == "importing"


def test_bytes_wait_for_formats() -> None:
    """An upload needs to know what they are, a stage does not."""
    for attributes, message in (
        ({"disk_format": None}, "Property disk_format must be set prior to saving data."),
        ({"container_format": None}, "Property container_format must be set prior to saving data."),
        (
            {"disk_format": None, "container_format": None},
            "Properties disk_format, container_format must be set prior to saving data.",
        ),
    ):
        with pytest.raises(Invalid) as refusal:
            images.changed_status(image("queued", **attributes), "saving")
        assert refusal.value.message == message
        staged = images.changed_status(image("queued", failure="why", **attributes), "uploading")
        assert (staged.status, staged.failure) == ("uploading", None)


def test_a_failure_is_kept_until_bytes_come_again() -> None:
    """Whoever gives up an upload says why; each status in which bytes are on their way begins without it."""
    failed = images.changed_status(image("saving"), "queued", failure="why")
    assert (failed.status, failed.failure) == ("queued", "why")
    assert images.changed_status(failed, "active").failure == "why"
    for status in ("saving", "uploading", "importing"):
        assert images.changed_status(failed, status).failure is None


@pytest.mark.parametrize("status", STATUSES)
def test_only_active_images_are_deactivated(status: str) -> None:
    """And only deactivated ones are reactivated; what is so already is the same image."""
    one = image(status)
    if status == "active":
        assert images.deactivated(one) == image("deactivated")
        assert images.reactivated(one) is one
    elif status == "deactivated":
        assert images.deactivated(one) is one
        assert images.reactivated(one) == image("active")
    else:
        with pytest.raises(Forbidden, match=f"Not allowed to deactivate image in status '{status}'"):
            images.deactivated(one)
        with pytest.raises(Forbidden, match=f"Not allowed to reactivate image in status '{status}'"):
            images.reactivated(one)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", ["disk_format", "container_format", "min_disk"])
def test_bytes_are_not_relabelled(status: str, name: str) -> None:
    """Formats change while the image has no bytes and none are on their way."""
    if status == "queued" or name == "min_disk":
        images.check_format_change(image(status), name)
    else:
        with pytest.raises(Forbidden, match=rf"Attribute {name} can be only replaced for a queued image\."):
            images.check_format_change(image(status), name)
