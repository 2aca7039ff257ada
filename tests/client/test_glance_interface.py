"""The interface of python-glanceclient: each call of its documents, on a Tintype and on a Glance."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1 import loading
from keystoneauth1.exceptions import Unauthorized as KeystoneUnauthorized

from clouds import Cloud
from tintype.client.glance import Client, exc
from tintype.client.glance.v2 import client as v2

FORMATS = {"disk_format": "raw", "container_format": "bare"}


@pytest.fixture(scope="module")
def glance(cloud: Cloud) -> v2.Client:
    return Client("2", session=cloud.session("alice"))


@pytest.fixture(scope="module")
def admin(cloud: Cloud) -> v2.Client:
    return Client("2", session=cloud.session("admin"))


@pytest.fixture
def image(glance: v2.Client) -> Iterator[Any]:
    made = glance.images.create(name="myNewImage", **FORMATS)
    yield made
    with contextlib.suppress(exc.HTTPNotFound):
        glance.images.delete(made.id)


def test_the_document(cloud: Cloud, glance: v2.Client, tmp_path: Path) -> None:
    """Create, show, update, properties, delete, list, download, share: the lines of the document."""
    iso = tmp_path / "myimage.iso"
    iso.write_bytes(b"not much" * 1000)
    image = glance.images.create(name="myNewImage", **FORMATS)
    with iso.open("rb") as file:
        glance.images.upload(image.id, file)
    assert glance.images.get(image.id).status == "active"
    glance.images.update(image.id, name="myNewImageName")
    assert glance.images.get(image.id).name == "myNewImageName"
    glance.images.update(image.id, my_custom_property="value")
    assert glance.images.get(image.id)["my_custom_property"] == "value"
    glance.images.update(image.id, remove_props=["my_custom_property"])
    assert "my_custom_property" not in glance.images.get(image.id)
    assert image.id in [each.id for each in glance.images.list()]
    data = glance.images.data(image.id)
    assert len(data) == 8000
    assert b"".join(data) == iso.read_bytes()
    beta = cloud.projects["beta"]
    assert glance.image_members.create(image.id, beta).status == "pending"
    assert [each.member_id for each in glance.image_members.list(image.id)] == [beta]
    glance.image_members.delete(image.id, beta)
    assert list(glance.image_members.list(image.id)) == []
    glance.images.delete(image.id)
    with pytest.raises(exc.HTTPNotFound) as gone:
        glance.images.get(image.id)
    assert gone.value.code == 404
    assert str(gone.value.request_id).startswith("req-")


def test_ways_to_make_a_client(cloud: Cloud, glance: v2.Client) -> None:
    """Of a session, of an endpoint and a token, of a cloud's name; a wrong token is refused."""
    token = glance.http_client.auth_token
    by_token = Client("2", endpoint=cloud.url, token=token)
    by_url = Client(endpoint=f"{cloud.url}/v2", token=token)
    by_name = Client(cloud="alice")
    for each in (by_token, by_url, by_name):
        assert isinstance(list(each.images.list(limit=1)), list)
    with pytest.raises(exc.HTTPUnauthorized):
        list(Client("2", endpoint=cloud.url, token="wrong").images.list())
    loader: Any = loading.get_plugin_loader("password")
    wrong = loader.load_from_options(**{**cloud.login("alice"), "password": "wrong"})
    with pytest.raises(KeystoneUnauthorized):  # the plugin that was given asks, not the session's
        list(Client("2", session=cloud.session("admin"), auth=wrong).images.list())
    with pytest.raises(RuntimeError):
        Client(session=cloud.session("alice"))
    with pytest.raises(AttributeError):
        Client("2")


def test_records(glance: v2.Client, image: Any) -> None:
    """Attributes and items are the same; what the schema forbids is a TypeError before anything is sent."""
    assert (image.name, image["name"], image.request_ids[0][:4]) == ("myNewImage", "myNewImage", "req-")
    with pytest.raises(AttributeError):
        _ = image.no_such_thing
    with pytest.raises(TypeError):
        glance.images.create(name="x", disk_format="qbull2")
    with pytest.raises(TypeError):
        glance.images.update(image.id, min_disk="much")
    assert glance.images.model.__name__ == "Image"


def test_tags_can_be_cleared(glance: v2.Client, image: Any) -> None:
    """`update(tags=[])` takes all tags away, and what is not said stays."""
    glance.image_tags.update(image.id, "one")
    glance.image_tags.update(image.id, "two")
    assert sorted(glance.images.update(image.id, name="other").tags) == ["one", "two"]
    glance.image_tags.delete(image.id, "one")
    assert glance.images.update(image.id, tags=[]).tags == []


def test_lists(glance: v2.Client) -> None:
    """Pages, limits, filters, sorting, and the ids of the requests."""
    ids = [glance.images.create(name=f"list-{n}", tags=["of-list"], p=str(n), **FORMATS).id for n in range(5)]
    try:
        found = glance.images.list(page_size=2, filters={"tag": ["of-list"]}, sort="name:asc")
        assert [each.name for each in found] == [f"list-{n}" for n in range(5)]
        assert {each[:4] for each in found.request_ids} == {"req-"}
        limited = glance.images.list(
            limit=3, page_size=2, filters={"tag": ["of-list"]}, sort_key="name", sort_dir="desc"
        )
        assert [each.name for each in limited] == ["list-4", "list-3", "list-2"]
        assert [each.id for each in glance.images.list(filters={"p": "3"})] == [ids[3]]
        behind = glance.images.list(filters={"tag": ["of-list"]}, sort="name:asc", marker=ids[3])
        assert [each.id for each in behind] == [ids[4]]
        with pytest.raises(exc.HTTPBadRequest):
            list(glance.images.list(sort="size", sort_key="name"))
    finally:
        for each in ids:
            glance.images.delete(each)


def test_members(cloud: Cloud, glance: v2.Client, image: Any) -> None:
    """Get, update, delete; the statuses."""
    glance.images.update(image.id, visibility="shared")
    beta = cloud.projects["beta"]
    glance.image_members.create(image.id, beta)
    bob = Client("2", session=cloud.session("bob"))
    assert bob.image_members.get(image.id, beta).status == "pending"
    assert bob.image_members.update(image.id, beta, "accepted").status == "accepted"
    assert image.id in [each.id for each in bob.images.list(filters={"visibility": "shared"})]
    with pytest.raises(exc.HTTPConflict):
        glance.image_members.create(image.id, beta)
    glance.image_members.delete(image.id, beta)


def test_bytes(glance: v2.Client, image: Any) -> None:
    """Upload with a size, deactivate and reactivate, download checked and not, nothing at all."""
    assert glance.images.data(image.id).wrapped is None
    with pytest.raises(TypeError):
        glance.images.upload(image.id, io.BytesIO(b"abc"), image_size="3")  # type: ignore[arg-type]
    glance.images.upload(image.id, io.BytesIO(b"abc"), image_size=3)
    assert b"".join(glance.images.data(image.id, do_checksum=False)) == b"abc"


def test_deactivated(glance: v2.Client, admin: v2.Client, image: Any) -> None:
    """An admin closes and opens access."""
    glance.images.upload(image.id, b"abc")
    admin.images.deactivate(image.id)
    with pytest.raises(exc.HTTPForbidden):
        glance.images.data(image.id)
    admin.images.reactivate(image.id)
    assert b"".join(glance.images.data(image.id)) == b"abc"


def test_imports(admin: v2.Client, cloud: Cloud) -> None:
    """Stage, import, tasks of the image, methods and stores; `allow_failure` says both of its words."""
    image = admin.images.create(name="imported", **FORMATS)
    assert "glance-direct" in admin.images.get_import_info()["import-methods"]["value"]
    stores = [each["id"] for each in admin.images.get_stores_info()["stores"] if not each.get("read-only")]
    assert admin.images.get_stores_info_detail()["stores"][0]["id"] in stores
    admin.images.stage(image.id, io.BytesIO(b"staged"), image_size=6)
    with pytest.raises(exc.HTTPBadRequest):
        admin.images.image_import(image.id, "glance-direct", uri="http://x/")
    admin.images.image_import(image.id, "glance-direct", stores=stores[:1], allow_failure=False)

    def idle() -> bool:
        tasks = admin.images.get_associated_image_tasks(image.id)["tasks"]
        return bool(tasks) and all(each["status"] == "success" for each in tasks)

    wait_until(idle)
    assert b"".join(admin.images.data(image.id)) == b"staged"
    if len(stores) > 1:
        admin.images.image_import(image.id, "copy-image", all_stores=True)
        wait_until(lambda: len(admin.images.get(image.id).stores.split(",")) == len(stores))
        admin.images.delete_from_store(stores[0], image.id)


def test_tasks_and_info(admin: v2.Client) -> None:
    """Tasks, versions, schemas and usage."""
    assert all(each.type for each in admin.tasks.list(sort_key="id", sort_dir="asc"))
    for task in list(admin.tasks.list(page_size=1))[:1]:
        assert admin.tasks.get(task.id).id == task.id
    with pytest.raises(ValueError):
        list(admin.tasks.list(sort_key="size"))
    with pytest.raises(exc.HTTPNotFound):
        admin.tasks.get("0" * 8)
    assert any(each["status"] == "CURRENT" for each in admin.versions.list())
    schema = admin.schemas.get("image")
    assert schema.is_base_property("disk_format")
    assert not schema.is_core_property("nothing")
    assert isinstance(admin.info.get_usage(), dict)


def test_a_task_is_made(cloud: Cloud, admin: v2.Client) -> None:
    """Of type import; an address that the operator does not allow is refused in words."""
    given = {
        "import_from": "http://images.example.org/x",
        "import_from_format": "raw",
        "image_properties": {"name": "t", **FORMATS},
    }
    with pytest.raises(exc.HTTPBadRequest, match="does not pass filtering"):
        admin.tasks.create(type="import", input=given)
    if cloud.is_tintype:
        allowed = {**given, "import_from": f"http://127.0.0.1:{cloud.allowed_port}/x"}
        task = admin.tasks.create(type="import", input=allowed)
        wait_until(lambda: admin.tasks.get(task.id).status == "failure")


def test_locations(cloud: Cloud, admin: v2.Client) -> None:
    """Both APIs of locations, as far as the operator of each allows them."""
    image = admin.images.create(name="located", **FORMATS)
    if not admin.images.get(image.id).get("locations") and "locations" not in admin.images.get(image.id):
        with pytest.raises(exc.HTTPBadRequest):
            admin.images.delete_locations(image.id, {"http://x/"})
    with pytest.raises(exc.HTTPException):
        admin.images.add_location(image.id, "ftp://nowhere/x", {})
    with pytest.raises(exc.HTTPException):
        admin.images.add_image_location(image.id, "ftp://nowhere/x", {})
    with contextlib.suppress(exc.HTTPForbidden):  # it is told to services alone
        assert list(admin.images.get_image_locations(image.id)) == []
    admin.images.delete(image.id)


def test_the_cache(cloud: Cloud, admin: v2.Client) -> None:
    """Each call, where there is a cache; a clear word where there is none."""
    if not cloud.is_tintype:
        with pytest.raises(exc.HTTPNotImplemented):
            admin.cache.list()
        return
    image = admin.images.create(name="cached", **FORMATS)
    admin.images.upload(image.id, b"abc")
    assert admin.cache.is_supported("v2.14")
    admin.cache.queue(image.id)
    wait_until(lambda: [each["image_id"] for each in admin.cache.list()["cached_images"]] == [image.id])
    assert admin.cache.list_cached_nodes(image.id)
    admin.cache.delete(image.id)
    admin.cache.clear("cache")
    admin.cache.clear("both")
    admin.cache.clean()
    assert admin.cache.prune()["total_files_pruned"] == 0
    admin.images.delete(image.id)


def test_metadefs(admin: v2.Client) -> None:
    """Namespaces with properties, objects, tags and types of resources: every call."""
    spaces, properties = admin.metadefs_namespace, admin.metadefs_property
    made = spaces.create(namespace="mine", display_name="Mine", visibility="private")
    assert (made.namespace, made.owner) == ("mine", made["owner"])
    with pytest.raises(TypeError):
        spaces.create(namespace="x", protected="yes")
    assert spaces.update("mine", description="words").description == "words"
    assert "mine" in [each.namespace for each in spaces.list(page_size=5)]
    properties.create("mine", name="p", title="P", type="string")
    assert properties.update("mine", "p", title="Q").title == "Q"
    assert [each.name for each in properties.list("mine")] == ["p"]
    assert properties.get("mine", "p").type == "string"
    objects = admin.metadefs_object
    objects.create("mine", name="o", description="d")
    assert objects.update("mine", "o", description="e").description == "e"
    assert [each.name for each in objects.list("mine")] == ["o"]
    tags = admin.metadefs_tag
    tags.create("mine", "t")
    assert sorted(each.name for each in tags.create_multiple("mine", tags=["a", "b"])) == ["a", "b"]
    assert tags.update("mine", "a", name="c").name == "c"
    assert tags.get("mine", "b").name == "b"
    assert sorted(each.name for each in tags.list("mine")) == ["b", "c"]
    types = admin.metadefs_resource_type
    types.associate("mine", name="OS::Glance::Image", prefix="hw_")
    assert [each.name for each in types.get("mine")] == ["OS::Glance::Image"]
    assert "OS::Glance::Image" in [each.name for each in types.list()]
    assert spaces.get("mine", resource_type="OS::Glance::Image").namespace == "mine"
    types.deassociate("mine", "OS::Glance::Image")
    tags.delete("mine", "b")
    tags.delete_all("mine")
    objects.delete("mine", "o")
    objects.delete_all("mine")
    properties.delete("mine", "p")
    properties.delete_all("mine")
    spaces.delete("mine")
    with pytest.raises(exc.HTTPNotFound):
        spaces.get("mine")


def wait_until(condition: Any) -> None:
    from processes import eventually

    eventually(condition, 30)
