"""The interface of pyrax: each call of its documents, on a Tintype and on a Glance."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clouds import Cloud
from tintype.client.pyrax import Image, ImageClient, ImageManager, assure_image, exceptions


@pytest.fixture(scope="module")
def images(cloud: Cloud) -> ImageClient:
    return ImageClient(cloud="alice")


@pytest.fixture(scope="module")
def bob(cloud: Cloud) -> ImageClient:
    return ImageClient(cloud="bob")


@pytest.fixture
def image(images: ImageClient) -> Iterator[Image]:
    made = images.create("pyrax", img_format="raw", data=b"bytes", metadata={"color": "red"})
    yield made
    images.delete(made)


def test_create_works(images: ImageClient, image: Image) -> None:
    """It makes the record and sends the bytes, with formats and properties."""
    assert (image.name, image.status, image.size, image.color) == ("pyrax", "active", 5, "red")
    assert (image.disk_format, image.container_format) == ("raw", "bare")


def test_create_of_an_object(images: ImageClient) -> None:
    """The bytes may be those of an object in a container."""

    class Object:
        def get(self) -> bytes:
            return b"of a container"

    class Container:
        def get_object(self, name: str) -> Object:
            assert name == "disk"
            return Object()

    made = images.create("object", img_format="raw", container=Container(), obj="disk")
    assert made.size == 14
    made.delete()


def test_list(images: ImageClient, image: Image, cloud: Cloud) -> None:
    """Each filter; a page; the server's JSON where that is wanted."""
    manager = images._manager
    assert isinstance(manager, ImageManager)
    for filters in (
        {"name": "pyrax"},
        {"visibility": "shared"},
        {"owner": cloud.projects["alpha"]},
        {"status": "active"},
        {"size_min": 5, "size_max": 5},
        {"sort_key": "name", "sort_dir": "asc", "limit": 25},
    ):
        assert image in manager.list(**filters), filters
        assert image in images.list(**filters), filters
    assert manager.list(tag="nothing") == []
    assert manager.list(member_status="rejected", visibility="shared", name="no") == []
    raw = manager.list(name="pyrax", limit=1, return_raw=True)
    assert raw["images"][0]["id"] == image.id
    assert manager.list(name="pyrax", marker=image) == []


def test_list_all(images: ImageClient) -> None:
    """It goes on to the last page."""
    made = [images.create(f"all-{n}", img_format="raw", metadata={"group": "all"}) for n in range(27)]
    try:
        assert len(images.list(sort_key="name", sort_dir="asc")) == 25, "one page"
        found = images.list_all(sort_key="name", sort_dir="asc")
        assert {each.id for each in made} <= {each.id for each in found}
        assert images.find(name="all-7") == made[7]
        with pytest.raises(exceptions.NotFound):
            images.find(name="not there")
        with pytest.raises(exceptions.NoUniqueMatch):
            images.find(group="all")
        assert len(images.findall(group="all")) == 27
    finally:
        for each in made:
            each.delete()


def test_update(images: ImageClient, image: Image) -> None:
    """What is there is replaced, what is not is added: by the client, its manager, the image itself."""
    images.update(image, {"color": "blue", "shape": "round"})
    images._manager.update(image.id, {"shape": "square"})
    image.change_name("other")
    images.change_image_name(image, "third")
    image.reload()
    assert (image.name, image.color, image.shape) == ("third", "blue", "square")
    with pytest.raises(exceptions.Forbidden):
        images.update(image, {"id": "x"})


def test_members(cloud: Cloud, images: ImageClient, bob: ImageClient, image: Image) -> None:
    """Sharing from both sides; the three errors of its own."""
    beta = cloud.projects["beta"]
    with pytest.raises(exceptions.InvalidImageMemberStatus):
        bob.update_image_member(image.id, "maybe")
    with pytest.raises(exceptions.InvalidImageMember):
        bob.update_image_member(image.id, "accepted")
    assert images.add_image_member(image, beta).id == beta
    with pytest.raises(exceptions.Conflict):
        image.add_member(beta)
    assert [each.id for each in images.list_image_members(image)] == [beta]
    assert images.get_image_member(image, beta).status == "pending"
    assert image.get_member(beta).status == "pending"
    for status in ("pending", "rejected", "accepted"):
        bob.update_image_member(image.id, status)
    assert image.list_members()[0].status == "accepted"
    assert image.id in [each.id for each in bob.list(visibility="shared")]
    with pytest.raises(exceptions.InvalidImageMember):
        images.update_image_member(image.id, "accepted")  # its owner
    with pytest.raises(exceptions.UnsharableImage):
        bob.add_image_member(image, cloud.projects["alpha"])
    images.delete_image_member(image, beta)
    images.add_image_member(image, beta)
    image.delete_member(beta)


def test_tags(images: ImageClient, image: Image) -> None:
    """On the client and on the image."""
    images.add_image_tag(image, "one")
    image.add_tag("two")
    image.get()
    assert sorted(image.tags) == ["one", "two"]
    images.delete_image_tag(image, "one")
    image.delete_tag("two")
    assert images.get(image.id).tags == []


def test_resources(images: ImageClient, image: Image) -> None:
    """An unknown attribute is asked for once; two of an id are equal; ids do where images do."""
    assert image == images.get(image)
    assert hash(image) == hash(images.get(image.id))
    assert "pyrax" in repr(image)
    with pytest.raises(AttributeError):
        _ = image.nothing
    listed = images.list(name="pyrax")[0]
    assert listed.checksum == image.checksum

    class Own(ImageClient):
        @assure_image
        def size_of(self, img: Any) -> int:
            return int(img.size)

    assert Own(cloud="alice").size_of(image.id) == 5
    with pytest.raises(exceptions.MissingName):
        images.get(object())


def test_tasks_and_schemas(cloud: Cloud) -> None:
    """Each call; an import of an object is refused in words where there are no containers."""
    admin = ImageClient(cloud="admin")
    assert isinstance(admin.list_tasks(), list)
    for name in ("images", "image", "image_members", "image_member", "image_tasks", "image_task"):
        assert getattr(admin, f"get_{name}_schema")()["name"]
    with pytest.raises(exceptions.NotFound):
        admin.get_task("00000000-0000-4000-8000-000000000000")
    begin: Callable[[], Any]
    for begin in (
        lambda: admin.import_task("disk.vhd", "container", img_name="of a container"),
        lambda: admin.export_task("00000000-0000-4000-8000-000000000000", "container"),
    ):
        with contextlib.suppress(exceptions.BadRequest):  # what a server says that has no containers
            task = begin()
            task.reload()
            assert task.type in {"import", "export"}


def test_methods(images: ImageClient, image: Image) -> None:
    """`method_get` and the others take an address below the version."""
    reply, body = images.method_get(f"/images/{image.id}")
    assert (reply.status, body["id"]) == (200, image.id)
    reply, body = images.method_put(f"images/{image.id}/tags/x")
    assert (reply.status, body) == (204, None)
    assert images.method_delete(f"/images/{image.id}/tags/x")[0].status == 204
    reply, body = images.method_post("/images", body={"name": "by hand"})
    assert images.method_delete(f"/images/{body['id']}")[0].status == 204
    images.authenticate()
    assert images.projectid == images.api.project_id()


def test_a_file(images: ImageClient, disk: Path) -> None:
    """A path is sent as a file is."""
    with disk.open("rb") as file:
        made = images.create("file", img_format="raw", data=file)
    assert made.size == disk.stat().st_size
    made.delete()


def test_keys_of_any_form(cloud: Cloud) -> None:
    """A key with `/` or `~` is one key, set and set again."""
    images = ImageClient(cloud="alice")
    image = images.create("keys", "raw")
    image = images._manager.list()[0] if image is None else image
    for value in ("1", "2"):
        images.update(image, {"a/b~c~1/": value})
        assert images.get(image.id).to_dict()["a/b~c~1/"] == value
    images.delete(image.id)
    images.api.close()
