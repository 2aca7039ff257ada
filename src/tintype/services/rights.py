"""What a caller may do: the dashboard offers only actions that the policy allows.

The answers come from the rules that the use cases themselves require. Whether an action is possible now
(the image's status, its protection) is not a right: the page reads that from the image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from tintype.domain.callers import Caller
from tintype.domain.images import DEACTIVATED, RESERVED_PREFIX, Image
from tintype.domain.metadefs import Namespace
from tintype.policy.engine import Policy
from tintype.policy.properties import DELETE, UPDATE, Protections
from tintype.policy.rules import OF_VISIBILITY

_VISIBILITIES: Final = ("private", "shared", "community", "public")
_ON_IMAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "modify": ("modify_image",),
    "delete": ("delete_image",),
    "upload": ("upload_image",),
    "import": ("modify_image",),
    "download": ("download_image",),
    "copy": ("copy_image",),
    "delete_copy": ("get_image_location", "delete_image_location"),
    "cache": ("cache_image",),
    "deactivate": ("deactivate",),
    "reactivate": ("reactivate",),
    "share": ("add_member",),
    "unshare": ("delete_member",),
    "answer": ("modify_member",),
}
"""The actions on an image, and the rules that must all allow each."""
_ON_NAMESPACE: Final[Mapping[str, tuple[str, ...]]] = {
    "modify": ("modify_metadef_namespace",),
    "delete": ("delete_metadef_namespace",),
}


class OnImage(msgspec.Struct, frozen=True):
    """What a caller may do to one image."""

    actions: Sequence[str]
    visibilities: Sequence[str]
    """The visibilities that the caller may set."""
    cannot_change: Sequence[str]
    """Custom properties that the caller may not change."""
    cannot_remove: Sequence[str]


class InProject(msgspec.Struct, frozen=True):
    """What a caller may do in the project of the token."""

    create: bool
    visibilities: Sequence[str]
    """The visibilities that a new image may have."""
    cache: bool
    """Whether the caller may list what this node has cached."""
    clear_cache: bool
    create_definitions: bool


class Rights:
    """Answers from the policy and the property protections."""

    def __init__(self, policy: Policy, protections: Protections | None) -> None:
        self._policy = policy
        self._protections = protections

    def in_project(self, caller: Caller) -> InProject:
        """Return what the caller may do in the project, regardless of an image."""
        own = {"project_id": caller.project_id}
        visibilities = [name for name in _VISIBILITIES if self._may_create(caller, name)]
        return InProject(
            create=bool(visibilities),
            visibilities=visibilities,
            cache=self._policy.allows("cache_list", caller, {}),
            clear_cache=self._policy.allows("cache_delete", caller, {}),
            create_definitions=self._policy.allows("add_metadef_namespace", caller, own),
        )

    def on_image(self, caller: Caller, image: Image) -> OnImage:
        """Return what the caller may do to an image that is visible to it."""
        target = image.target()
        actions = self._allowed(_ON_IMAGE, caller, target)
        if image.status == DEACTIVATED and not caller.is_admin and "download" in actions:
            actions.remove("download")
        visibilities = [name for name in _VISIBILITIES if self._may_be(caller, name, target)]
        return OnImage(
            actions,
            visibilities if "modify" in actions else [],
            cannot_change=[name for name in image.properties if not self._may_touch(caller, UPDATE, name)],
            cannot_remove=[name for name in image.properties if not self._may_touch(caller, DELETE, name)],
        )

    def on_namespace(self, caller: Caller, namespace: Namespace) -> Sequence[str]:
        """Return what the caller may do to a namespace that is visible to it."""
        return self._allowed(_ON_NAMESPACE, caller, namespace.target())

    def _allowed(
        self, actions: Mapping[str, tuple[str, ...]], caller: Caller, target: Mapping[str, Any]
    ) -> list[str]:
        return [
            action
            for action, rules in actions.items()
            if all(self._policy.allows(rule, caller, target) for rule in rules)
        ]

    def _may_create(self, caller: Caller, visibility: str) -> bool:
        if caller.project_id is None:
            return False
        new = Image("", 0, 0, owner=caller.project_id, visibility=visibility)
        target = new.target()
        return self._policy.allows("add_image", caller, target) and self._may_be(caller, visibility, target)

    def _may_be(self, caller: Caller, visibility: str, target: Mapping[str, Any]) -> bool:
        rule = OF_VISIBILITY.get(visibility)
        return rule is None or self._policy.allows(rule, caller, target)

    def _may_touch(self, caller: Caller, operation: str, name: str) -> bool:
        if name.startswith(RESERVED_PREFIX):
            return False
        return self._protections is None or self._protections.allows(operation, name, caller)
