"""Quotas of projects. Names and units are Glance's, which Keystone's unified limits use as well."""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tintype.errors import OverLimit

UNLIMITED: Final = -1
MIB: Final = 1 << 20
MOST: Final = 1 << 43


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of a project; -1 for no limit."""

    image_count_total: Annotated[
        int, Meta(ge=-1, le=MOST, description="Images of a project; -1 for no limit.")
    ] = UNLIMITED
    image_size_total: Annotated[
        int, Meta(ge=-1, le=MOST, description="MiB of a project's images in the stores, each copy counted.")
    ] = UNLIMITED
    image_stage_total: Annotated[
        int, Meta(ge=-1, le=MOST, description="MiB of a project that are staged for an import.")
    ] = UNLIMITED
    image_count_uploading: Annotated[
        int, Meta(ge=-1, le=MOST, description="Uploads, imports and copies of a project at the same time.")
    ] = UNLIMITED


NO_LIMITS: Final = Quota()
COUNT: Final = ("image_count_total",)
STORE: Final = ("image_size_total", "image_count_uploading")
STAGE: Final = ("image_stage_total", "image_count_uploading")
"""The limits that apply to creating an image, storing its bytes, and staging bytes."""
NAMES: Final = Quota.__struct_fields__


class Usage(msgspec.Struct, frozen=True):
    """What a project uses; sizes in bytes, including the declared sizes of unfinished uploads."""

    images: int
    uploads: int
    stored: int
    staged: int

    def counted(self) -> Quota:
        """Return it in the names and units of a quota, rounded up to whole MiB."""
        return Quota(self.images, -(-self.stored // MIB), -(-self.staged // MIB), self.uploads)


def check(quota: Quota, usage: Usage, names: Iterable[str]) -> None:
    """Raise OverLimit if the usage exceeds one of the named limits of the quota."""
    used = usage.counted()
    for name in names:
        limit, count = getattr(quota, name), getattr(used, name)
        if limit != UNLIMITED and count > limit:
            unit = " MiB" if name in {"image_size_total", "image_stage_total"} else ""
            raise OverLimit(f"The project's quota is used up: {name} is limited to {limit}{unit}.")


def room(limit: int, used: int, most: int) -> int:
    """Return how many bytes are left of a limit in MiB, at most `most`."""
    return most if limit == UNLIMITED else min(most, max(0, limit * MIB - used))
