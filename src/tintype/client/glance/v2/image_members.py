"""Members by python-glanceclient's names."""

from collections.abc import Iterator
from typing import Any, Final

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.glance.v2.schemas import SchemaBasedModel
from tintype.client.operations import members

MEMBER_STATUS_VALUES: Final = ("accepted", "rejected", "pending")


class Controller(Base):
    """`glance.image_members`."""

    @property
    def model(self) -> type[SchemaBasedModel]:
        """Return the class of members."""
        return self._model("member")

    def list(self, image_id: str) -> utils.Generator:
        """List the members of an image."""

        def members_of() -> Iterator[tuple[Any, Any]]:
            response, body = self._send(members.list_(image_id))
            for member in body["members"]:
                yield self.model(member), response

        return utils.Generator(members_of())

    def get(self, image_id: str, member_id: str) -> SchemaBasedModel:
        """Show a member."""
        return self._record(self.model, members.get(image_id, member_id))

    def create(self, image_id: str, member_id: str) -> SchemaBasedModel:
        """Share an image with a project."""
        return self._record(self.model, members.create(image_id, member_id))

    def update(self, image_id: str, member_id: str, member_status: str) -> SchemaBasedModel:
        """Set the status of a member: accepted, rejected or pending."""
        return self._record(self.model, members.update(image_id, member_id, member_status))

    def delete(self, image_id: str, member_id: str) -> utils.Tuple:
        """Stop sharing an image with a project."""
        return self._done(members.delete(image_id, member_id))
