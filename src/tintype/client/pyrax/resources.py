"""Resources that managers return: attributes of the server's JSON, and methods."""

from collections.abc import Mapping
from typing import Any


class BaseResource:
    """A resource of the server. A missing attribute is requested once; then raises AttributeError."""

    def __init__(
        self, manager: Any, info: Mapping[str, Any], key: str | None = None, *, loaded: bool = False
    ) -> None:
        """Wrap the JSON of a resource of `manager`; under `key`, if one is given."""
        self.manager = manager
        self._info = dict(info if key is None else info[key])
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "manager":
            raise AttributeError(name)
        if name not in self._info and not self._loaded:
            self.get()
        try:
            return self._info[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def get(self) -> None:
        """Reload all attributes from the server."""
        self._loaded = True
        found = self.manager.get(self)
        if found is not None:
            self._info = dict(found._info)  # noqa: SLF001  another one of us

    reload = get

    def delete(self) -> None:
        """Delete it."""
        self.manager.delete(self)

    def to_dict(self) -> dict[str, Any]:
        """Return its attributes."""
        return dict(self._info)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and getattr(self, "id", self) == getattr(other, "id", other)

    def __hash__(self) -> int:
        return hash(self._info.get("id"))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={self._info[name]!r}" for name in ("id", "name", "status") if name in self._info
        )
        return f"<{type(self).__name__} {shown}>"


class Image(BaseResource):
    """An image."""

    def update(self, value_dict: Mapping[str, Any]) -> None:
        """Set attributes and properties."""
        self.manager.update(self, value_dict)

    def change_name(self, newname: str) -> None:
        """Rename it."""
        self.update({"name": newname})

    def list_members(self) -> list["ImageMember"]:
        """List its members."""
        members: list[ImageMember] = self.manager.members(self).list()
        return members

    def get_member(self, member: Any) -> "ImageMember":
        """Show a member."""
        found: ImageMember = self.manager.members(self).get(member)
        return found

    def add_member(self, project_id: str) -> "ImageMember":
        """Share it with a project; raises UnsharableImage if that is refused."""
        added: ImageMember = self.manager.members(self).create(project_id)
        return added

    def delete_member(self, project_id: Any) -> None:
        """Stop sharing it with a project."""
        self.manager.members(self).delete(project_id)

    def add_tag(self, tag: str) -> None:
        """Add a tag to it."""
        self.manager.tags(self).add(tag)

    def delete_tag(self, tag: str) -> None:
        """Remove a tag from it."""
        self.manager.tags(self).delete(tag)


class ImageMember(BaseResource):
    """A project that an image is shared with."""

    @property
    def id(self) -> str:
        """Return the project."""
        return str(self._info["member_id"])


class ImageTag(BaseResource):
    """A tag."""


class ImageTask(BaseResource):
    """A task on the server; `reload()` updates its progress."""
