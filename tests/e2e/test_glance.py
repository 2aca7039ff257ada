"""The `glance` command and python-glanceclient, unchanged."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from glanceclient import Client, exc
from keystoneauth1 import loading, session

import officials
from processes import BIN, PASSWORDS, Server


@pytest.fixture
def glance(server: Server) -> object:
    return _client(server, "alice", "alpha")


def _client(server: Server, user: str, project: str) -> Client:
    """Log in as the document says."""
    loader: Any = loading.get_plugin_loader("password")
    auth = loader.load_from_options(
        auth_url=f"{server.url}/identity",
        username=user,
        password=PASSWORDS[user],
        project_name=project,
        user_domain_id="default",
        project_domain_id="default",
    )
    return Client("2", session=session.Session(auth=auth), region_name="RegionOne")


def test_the_program_of_the_document(server: Server, glance: Client, tmp_path: Path) -> None:
    """Python API v2, line by line: create, upload, show, update, list, download, share, delete."""
    iso = tmp_path / "myimage.iso"
    iso.write_bytes(b"not really an iso, so it is called raw")

    image = glance.images.create(name="myNewImage", disk_format="raw", container_format="bare")
    with iso.open("rb") as data:
        glance.images.upload(image.id, data)
    assert glance.images.get(image.id).status == "active"
    glance.images.update(image.id, name="myNewImageName")
    assert glance.images.get(image.id).name == "myNewImageName"
    glance.images.update(image.id, my_custom_property="value")
    assert glance.images.get(image.id)["my_custom_property"] == "value"
    glance.images.update(image.id, remove_props=["my_custom_property"])
    assert "my_custom_property" not in glance.images.get(image.id)
    assert image.id in [listed.id for listed in glance.images.list()]
    assert b"".join(glance.images.data(image.id)) == iso.read_bytes()

    member_id = _client(server, "bob", "beta").http_client.get_project_id()
    glance.image_members.create(image.id, member_id)
    assert [member.member_id for member in glance.image_members.list(image.id)] == [member_id]
    _client(server, "bob", "beta").image_members.update(image.id, member_id, "accepted")
    assert glance.image_members.get(image.id, member_id).status == "accepted"
    glance.image_members.delete(image.id, member_id)
    assert list(glance.image_members.list(image.id)) == []

    glance.images.delete(image.id)
    with pytest.raises(exc.HTTPNotFound):
        glance.images.get(image.id)


def test_our_message_arrives(glance: Client) -> None:
    """What went wrong is printed as we said it, not as a failure of the client's parser."""
    with pytest.raises(exc.HTTPNotFound, match="No image found with ID nope"):
        glance.images.get("nope")
    image = glance.images.create(name="x", protected=True)
    with pytest.raises(exc.HTTPForbidden, match="is protected and cannot be deleted"):
        glance.images.delete(image.id)
    glance.images.update(image.id, protected=False)
    glance.images.delete(image.id)


def test_the_rest_of_its_interface(glance: Client) -> None:
    """Tags, tasks, schemas, filters, stores, usage, versions, paging over many images."""
    made = [glance.images.create(name=f"page {number}", tags=["paged"]) for number in range(5)]
    listed = list(glance.images.list(page_size=2, filters={"tag": ["paged"]}, sort="name:asc"))
    assert [image.name for image in listed] == [f"page {number}" for number in range(5)]
    assert len(list(glance.images.list(limit=3, filters={"tag": ["paged"]}))) == 3
    image = made[0]
    glance.image_tags.update(image.id, "more")
    glance.image_tags.delete(image.id, "paged")
    assert glance.images.get(image.id).tags == ["more"]
    glance.images.update(image.id, tags=["a", "b"])
    assert sorted(glance.images.get(image.id).tags) == ["a", "b"]
    assert glance.images.get_associated_image_tasks(image.id)["tasks"] == []
    assert glance.schemas.get("image").name == "image"
    assert glance.images.get_stores_info()["stores"][0]["id"] == "local"
    methods = ["glance-direct", "web-download", "copy-image", "glance-download"]
    assert glance.images.get_import_info()["import-methods"]["value"] == methods
    assert glance.info.get_usage()["image_count_total"]["usage"] >= 5
    with pytest.raises(exc.HTTPForbidden, match="Not allowed to deactivate"):
        glance.images.deactivate(image.id)
    for image in made:
        glance.images.delete(image.id)


@pytest.mark.needs("time")
def test_the_command(server: Server, disk: Path, tmp_path: Path) -> None:
    """`glance` creates, lists, shows, updates, shares, downloads and deletes."""

    def run(*arguments: str, user: str = "alice", project: str = "alpha") -> str:
        environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "OS_AUTH_URL": f"{server.url}/identity/v3",
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORDS[user],
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
            "PYTHONWARNINGS": "ignore",
        }
        done = officials.run(["glance", *arguments], environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    formats = ("--disk-format", "raw", "--container-format", "bare")
    out = run("image-create", "--name", "g", *formats, "--file", str(disk))
    image_id = next(line.split("|")[2].strip() for line in out.splitlines() if "| id " in line)
    assert image_id in run("image-list", "--property-filter", "name=g")
    assert "active" in run("image-show", image_id)
    run("image-update", image_id, "--name", "g2", "--property", "a=b")
    run("image-update", image_id, "--remove-property", "a")
    run("image-tag-update", image_id, "t")
    run("image-tag-delete", image_id, "t")
    run("image-tag-update", image_id, "x/y")  # the slash goes over the wire as it is
    assert "x/y" in run("image-show", image_id)
    run("image-tag-delete", image_id, "x/y")
    assert "x/y" not in run("image-show", image_id)
    run("member-create", image_id, "some/project")
    run("member-delete", image_id, "some/project")
    run("image-deactivate", image_id)
    run("image-reactivate", image_id)
    projects = server.run("openstack", "project", "list", "-f", "json")
    beta = next(project["ID"] for project in json.loads(projects.stdout) if project["Name"] == "beta")
    run("member-create", image_id, beta)
    run("member-update", image_id, beta, "accepted", user="bob", project="beta")
    assert "accepted" in run("member-list", "--image-id", image_id)
    run("member-delete", image_id, beta)
    run("image-tasks", image_id)
    run("stores-info")
    run("usage")
    run("image-download", image_id, "--file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()
    run("image-delete", image_id)
