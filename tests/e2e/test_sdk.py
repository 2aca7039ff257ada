"""openstacksdk, unchanged."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from openstack.exceptions import NotFoundException, SDKException

from processes import Server

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns of its own future on most calls


def connect(server: Server, cloud: str) -> Any:
    """Return a connection: Any, as the SDK types its proxies as a union of all versions."""
    config = openstack.config.OpenStackConfig(config_files=[str(server.clouds)])
    return Connection(config=config.get_one(cloud))


@pytest.fixture
def alice(server: Server) -> Iterator[Any]:
    connection = connect(server, "alice")
    yield connection
    connection.close()


@pytest.fixture
def bob(server: Server) -> Iterator[Any]:
    connection = connect(server, "bob")
    yield connection
    connection.close()


def test_images(alice: Any, disk: Path, tmp_path: Path) -> None:
    """Create from a file, find, update, tag, download with its checks, deactivate, delete."""
    image = alice.image.create_image(
        "sdk", filename=str(disk), disk_format="raw", container_format="bare", wait=True, hw_disk_bus="scsi"
    )
    image = alice.image.get_image(image)
    assert image.status == "active"
    assert image.hash_value == hashlib.sha512(disk.read_bytes()).hexdigest()
    assert alice.image.find_image("sdk").id == image.id
    assert [found.id for found in alice.image.images(name="sdk", status="active")] == [image.id]
    updated = alice.image.update_image(image, name="sdk2", min_disk=3, custom="x")
    assert (updated.name, updated.min_disk, updated.properties["custom"]) == ("sdk2", 3, "x")
    alice.image.add_tag(image, "t")
    assert alice.image.get_image(image).tags == ["t"]
    alice.image.remove_tag(image, "t")
    alice.image.download_image(image, stream=False, output=str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()
    alice.image.deactivate_image(image)
    with pytest.raises(SDKException):  # it takes the 403 for data, and finds that the digest is wrong
        alice.image.download_image(image)
    alice.image.reactivate_image(image)
    assert list(alice.image.image_tasks(image)) == []
    alice.image.delete_image(image, ignore_missing=False)
    with pytest.raises(NotFoundException, match="No image found"):
        alice.image.get_image(image.id)


def test_members(alice: Any, bob: Any) -> None:
    """Share, accept, remove."""
    image = alice.image.create_image("shared", allow_duplicates=True, data=b"abc", disk_format="raw")
    project = bob.current_project_id
    alice.image.add_member(image, member_id=project)
    assert [member.status for member in alice.image.members(image)] == ["pending"]
    bob.image.update_member(project, image.id, status="accepted")
    assert image.id in [found.id for found in bob.image.images()]
    assert alice.image.get_member(project, image).status == "accepted"
    alice.image.remove_member(project, image)
    assert bob.image.find_image(image.id) is None
    alice.image.delete_image(image)


def test_schemas_and_discovery(alice: Any) -> None:
    """What the SDK reads about the service."""
    assert alice.image.get_image_schema().name == "image"
    assert alice.image.get_members_schema().name == "members"
    assert alice.image.get_task_schema().name == "task"
    assert [store.id for store in alice.image.stores()] == ["local"]
    methods = ["glance-direct", "web-download", "copy-image", "glance-download"]
    assert alice.image.get_import_info().import_methods["value"] == methods
    assert alice.identity.find_project("alpha").name == "alpha"
