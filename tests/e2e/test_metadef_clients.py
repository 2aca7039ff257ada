"""Metadata definitions by the official clients, unchanged: every command and call they have."""

import json
import os
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack.exceptions import ForbiddenException, NotFoundException

import officials
from processes import Server


def openstack_command(server: Server, *arguments: str) -> Any:
    """Run `openstack image metadef …`; give its JSON, if it prints any."""
    shows = {"create", "list", "show"} & set(arguments)
    form = ("-f", "json") if shows else ()
    done = server.run("openstack", "image", "metadef", *arguments, *form, cloud="tintype")
    return json.loads(done.stdout) if shows and done.stdout else done.stdout


@pytest.mark.needs("time")
def test_the_openstack_command(server: Server) -> None:
    """Namespaces, properties, objects, types of resources: made, listed, shown, changed and deleted."""

    def run(*arguments: str) -> Any:
        return openstack_command(server, *arguments)

    made = run("namespace", "create", "osc", "--display-name", "D", "--description", "words", "--public")
    assert (made["namespace"], made["display_name"], made["visibility"]) == ("osc", "D", "public")
    run("namespace", "set", "osc", "--description", "other", "--private")
    run("namespace", "set", "osc", "--description", "other", "--public")
    assert run("namespace", "show", "osc")["description"] == "other"
    listed = [each["namespace"] for each in run("namespace", "list")]
    assert {"osc", "OS::Compute::Libvirt"} <= set(listed)
    assert len(listed) >= 34, "every page is asked for"

    schema = '{"enum": ["a", "b"]}'
    run("property", "create", "osc", "--name", "p", "--title", "P", "--type", "string", "--schema", schema)
    run("property", "set", "osc", "p", "--title", "Q")
    assert run("property", "show", "osc", "p")["title"] == "Q"
    assert [each["name"] for each in run("property", "list", "osc")] == ["p"]

    run("object", "create", "o", "--namespace", "osc")
    run("object", "update", "osc", "o", "--name", "o2")
    assert run("object", "show", "osc", "o2")["name"] == "o2"
    assert [each["name"] for each in run("object", "list", "osc")] == ["o2"]
    shown = run("object", "property", "show", "OS::Software::Runtimes", "Python", "sw_runtime_python_version")
    assert shown["type"] == "string"

    run("resource", "type", "association", "create", "osc", "OS::Nova::Server", "--properties-target", "t")
    associations = run("resource", "type", "association", "list", "osc")
    assert "OS::Nova::Server" in json.dumps(associations)
    run("resource", "type", "association", "delete", "osc", "OS::Nova::Server")
    assert "OS::Glance::Image" in json.dumps(run("resource", "type", "list"))

    run("property", "delete", "osc", "p")
    run("object", "delete", "osc", "o2")
    run("namespace", "delete", "osc")
    gone = server.run(
        "openstack", "image", "metadef", "namespace", "show", "osc", cloud="tintype", check=False
    )
    assert gone.returncode == 1


@pytest.mark.needs("time")
def test_the_glance_command(server: Server, tmp_path: Path) -> None:
    """Every `md-…` command."""
    credentials = openstack.config.OpenStackConfig(config_files=[str(server.clouds)]).get_one("tintype")
    auth = credentials.config["auth"]
    environment = {
        "PATH": f"{Path(os.sys.executable).parent}:{os.environ['PATH']}",  # type: ignore[attr-defined]
        "HOME": str(tmp_path),
        "OS_AUTH_URL": f"{server.url}/identity/v3",
        "OS_USERNAME": auth["username"],
        "OS_PASSWORD": auth["password"],
        "OS_PROJECT_NAME": auth["project_name"],
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_IDENTITY_API_VERSION": "3",
        "PYTHONWARNINGS": "ignore",
    }

    def run(*arguments: str) -> str:
        done = officials.run(["glance", *arguments], environment)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    assert "OS::Glance::Image" in run("md-resource-type-list")
    assert "OS::Compute::Libvirt" in run("md-namespace-list", "--page-size", "5")
    assert "OS::Compute::VMware" in run("md-namespace-list", "--resource-types", "OS::Glance::Image")
    assert "hw_watchdog_action" in run(
        "md-namespace-show", "OS::Compute::Watchdog", "--resource-type", "OS::Glance::Image"
    )
    run("md-namespace-create", "cli", "--visibility", "public", "--description", "words")
    run("md-namespace-update", "cli", "--display-name", "D", "--visibility", "public")
    assert "D" in run("md-namespace-show", "cli")
    file = tmp_path / "n.json"
    file.write_text(
        json.dumps({"namespace": "imported", "tags": [{"name": "t"}], "objects": [{"name": "o"}]})
    )
    run("md-namespace-import", "--file", str(file))
    assert "| o " in run("md-object-list", "imported")
    run("md-namespace-delete", "imported")

    run("md-resource-type-associate", "cli", "--name", "OS::Nova::Flavor", "--prefix", "x:")
    assert "OS::Nova::Flavor" in run("md-namespace-resource-type-list", "cli")
    schema = '{"minimum": 1, "maximum": 8}'
    run("md-property-create", "cli", "--name", "p", "--title", "P", "--type", "integer", "--schema", schema)
    run("md-property-update", "cli", "p", "--title", "Q")
    assert "Q" in run("md-property-show", "cli", "p")
    assert "| p " in run("md-property-list", "cli")
    run(
        "md-object-create",
        "cli",
        "--name",
        "o",
        "--schema",
        '{"properties": {"x": {"title": "X", "type": "string"}}}',
    )
    run("md-object-update", "cli", "o", "--name", "o2")
    assert "o2" in run("md-object-list", "cli")
    assert "X" in run("md-object-property-show", "cli", "o2", "x")
    assert "o2" in run("md-object-show", "cli", "o2")
    run("md-tag-create", "cli", "--name", "t")
    run("md-tag-update", "cli", "t", "--name", "u")
    assert "u" in run("md-tag-show", "cli", "u")
    run("md-tag-create-multiple", "cli", "--names", "a:b", "--delim", ":")
    listed = run("md-tag-list", "cli")  # its --append dies before it sends anything
    assert all(f"| {tag} " in listed for tag in "ab")
    assert "| u " not in listed
    run("md-tag-delete", "cli", "a")
    run("md-namespace-create", "own/cli")  # the slash goes over the wire as it is
    run("md-tag-create", "own/cli", "--name", "v/w")
    assert "v/w" in run("md-tag-show", "own/cli", "v/w")
    run("md-tag-delete", "own/cli", "v/w")
    run("md-object-create", "own/cli", "--name", "o/p", "--schema", "{}")
    assert "o/p" in run("md-object-show", "own/cli", "o/p")
    run("md-object-delete", "own/cli", "o/p")
    run(
        "md-property-create", "own/cli", "--name", "q/r", "--title", "Q", "--type", "string", "--schema", "{}"
    )
    assert "q/r" in run("md-property-show", "own/cli", "q/r")
    run("md-property-delete", "own/cli", "q/r")
    run("md-resource-type-associate", "own/cli", "--name", "Own/Type")
    run("md-resource-type-deassociate", "own/cli", "Own/Type")
    run("md-namespace-delete", "own/cli")
    run("md-namespace-tags-delete", "cli")
    run("md-property-delete", "cli", "p")
    run("md-namespace-properties-delete", "cli")
    run("md-object-delete", "cli", "o2")
    run("md-namespace-objects-delete", "cli")
    run("md-resource-type-deassociate", "cli", "OS::Nova::Flavor")
    run("md-namespace-delete", "cli")


@pytest.mark.filterwarnings("default")  # the SDK warns of its own future on most calls
def test_openstacksdk(server: Server) -> None:
    """Every call of its image proxy that is about metadata definitions."""
    config = openstack.config.OpenStackConfig(config_files=[str(server.clouds)])
    with openstack.connection.Connection(config=config.get_one("tintype")) as cloud:
        image: Any = cloud.image  # by its type any version of the SDK's proxies
        made = image.create_metadef_namespace(namespace="sdk", visibility="public", description="words")
        assert (made.namespace, made.visibility, made.is_protected) == ("sdk", "public", False)
        image.update_metadef_namespace(made, namespace="sdk", display_name="D", visibility="public")
        assert image.get_metadef_namespace("sdk").display_name == "D"
        assert "sdk" in [each.namespace for each in image.metadef_namespaces(limit=7)]

        image.create_metadef_property("sdk", name="p", title="P", type="integer", minimum=1)
        image.update_metadef_property("p", "sdk", name="p", title="Q", type="integer")
        assert image.get_metadef_property("p", "sdk").title == "Q"
        assert [each.name for each in image.metadef_properties("sdk")] == ["p"]
        image.delete_metadef_property("p", "sdk", ignore_missing=False)
        image.create_metadef_property("sdk", name="p", title="P", type="string")
        image.delete_all_metadef_properties("sdk")
        assert list(image.metadef_properties("sdk")) == []

        image.create_metadef_object("sdk", name="o", properties={"x": {"title": "X", "type": "string"}})
        image.update_metadef_object("o", "sdk", name="o2", description="d")
        assert image.get_metadef_object("o2", "sdk").description == "d"
        assert [each.name for each in image.metadef_objects("sdk")] == ["o2"]
        image.delete_metadef_object("o2", "sdk", ignore_missing=False)
        image.create_metadef_object("sdk", name="o")
        image.delete_all_metadef_objects("sdk")
        assert list(image.metadef_objects("sdk")) == []

        image.create_metadef_resource_type_association("sdk", name="OS::Nova::Server", prefix="x_")
        found = list(image.metadef_resource_type_associations("sdk"))
        assert [(each.name, each.prefix) for each in found] == [("OS::Nova::Server", "x_")]
        image.delete_metadef_resource_type_association(found[0], "sdk", ignore_missing=False)
        assert "OS::Cinder::Volume" in {each.name for each in image.metadef_resource_types()}

        for kind in ("namespace", "object", "property", "resource_type", "tag"):
            assert getattr(image, f"get_metadef_{kind}_schema")().properties
        for kind in ("namespaces", "objects", "properties", "resource_types", "tags"):
            assert getattr(image, f"get_metadef_{kind}_schema")().properties
        with pytest.raises(ForbiddenException):
            image.delete_metadef_namespace("OS::Compute::Watchdog", ignore_missing=False)
        image.delete_metadef_namespace("sdk", ignore_missing=False)
        with pytest.raises(NotFoundException):
            image.get_metadef_namespace("sdk")
