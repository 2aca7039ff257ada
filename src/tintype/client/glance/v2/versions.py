"""Versions of the API, by python-glanceclient's names."""

from collections.abc import Iterator
from typing import Any

from tintype.client.glance.common import utils
from tintype.client.glance.v2.base import Base
from tintype.client.operations import info


class VersionController(Base):
    """`glance.versions`."""

    def list(self) -> utils.Generator:
        """List the versions."""

        def versions() -> Iterator[tuple[Any, Any]]:
            response, body = self._send(info.versions())
            for version in body["versions"]:
                yield version, response

        return utils.Generator(versions())
