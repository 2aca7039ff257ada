"""Users, projects, roles and application credentials, managed by the official clients, unchanged."""

import json
from typing import Any

import openstack
import pytest
import yaml
from keystoneauth1.exceptions import Unauthorized
from openstack.connection import Connection
from openstack.exceptions import ConflictException, HttpException

from processes import Server

pytestmark = pytest.mark.filterwarnings("default")  # the SDK warns of its own future on most calls


def connect(server: Server, cloud: str = "tintype") -> Any:
    """Return a connection: Any, as the SDK types its proxies as a union of all versions."""
    config = openstack.config.OpenStackConfig(config_files=[str(server.clouds)])
    return Connection(config=config.get_one(cloud))


def log_in(server: Server, **auth: object) -> Any:
    """Return a connection that logs in by what is given."""
    kind = "v3applicationcredential" if "application_credential_secret" in auth else "password"
    return Connection(
        auth_type=kind, auth={"auth_url": f"{server.url}/identity", **auth}, region_name="RegionOne"
    )


def is_let_in(connection: Any) -> bool:
    """Say whether the service takes the login; it is refused with 401 or not at all."""
    try:
        list(connection.image.images())
    except Unauthorized:
        return False
    return True


def test_the_clouds_layer_of_the_sdk(server: Server) -> None:
    """What Ansible's modules call: create, find, change, grant, revoke and delete, each once more as well."""
    with connect(server) as admin:
        project = admin.create_project("sdk", "default", description="of the SDK")
        assert admin.get_project("sdk").id == project.id
        assert admin.update_project("sdk", description="changed").description == "changed"
        with pytest.raises(ConflictException):
            admin.create_project("sdk", "default")
        user = admin.create_user(
            "robot",
            password="first",
            email="robot@example.org",
            default_project="sdk",
            domain_id="default",
            description="x",
        )
        assert (user.email, user.default_project_id) == ("robot@example.org", project.id)
        assert admin.get_user("robot").id == user.id
        assert admin.grant_role("member", user="robot", project="sdk", wait=True) is True
        assert admin.grant_role("member", user="robot", project="sdk") is False
        assignments = admin.list_role_assignments({"user": user.id, "include_names": True, "effective": True})
        assert sorted(each.role["name"] for each in assignments) == ["member", "reader"]
        login = {"username": "robot", "project_name": "sdk", "user_domain_id": "default"}
        login["project_domain_id"] = "default"
        with log_in(server, **login, password="first") as robot:
            assert is_let_in(robot)
            robot.identity.update_password(user.id, "first", "second")
        admin.update_user("robot", password="third", description="y")
        with log_in(server, **login, password="third") as robot:
            assert is_let_in(robot)
        assert admin.revoke_role("member", user="robot", project="sdk") is True
        assert admin.revoke_role("member", user="robot", project="sdk") is False
        with log_in(server, **login, password="third") as robot:
            assert not is_let_in(robot)
        assert admin.delete_user("robot") is True
        assert admin.delete_user("robot") is False
        assert admin.delete_project("sdk") is True
        assert admin.delete_project("sdk") is False


def test_application_credentials_of_the_sdk(server: Server) -> None:
    """Created by a user, used by id and by name, and gone when it is deleted."""
    with connect(server, "alice") as alice:
        user = alice.current_user_id
        made = alice.identity.create_application_credential(user, "robot", roles=[{"name": "reader"}])
        by_id = {"application_credential_id": made.id, "application_credential_secret": made.secret}
        by_name = {"application_credential_name": "robot", "username": "alice", "user_domain_id": "default"}
        by_name["application_credential_secret"] = made.secret
        for way in (by_id, by_name):
            with log_in(server, **way) as robot:
                assert is_let_in(robot)
                assert robot.current_project_id == alice.current_project_id
                with pytest.raises(HttpException) as refused:
                    robot.image.create_image("no", disk_format="raw", container_format="bare")
                assert refused.value.response is not None
                assert refused.value.response.status_code == 403
        assert alice.identity.find_application_credential(user, "robot").id == made.id
        assert [each.name for each in alice.identity.application_credentials(user)] == ["robot"]
        alice.identity.delete_application_credential(user, made)
        with log_in(server, **by_id) as robot:
            assert not is_let_in(robot)


@pytest.mark.needs("time")
def test_the_openstack_command(server: Server) -> None:
    """A project, a user in it, a role, a password of one's own, an application credential."""

    def run(*arguments: str, cloud: str = "tintype") -> Any:
        done = server.run("openstack", *arguments, cloud=cloud)
        return json.loads(done.stdout) if "json" in arguments else done.stdout

    project = run("project", "create", "--description", "of the command", "osc", "-f", "json")
    assert (project["name"], project["domain_id"]) == ("osc", "default")
    user = run("user", "create", "--project", "osc", "--password", "first", "clerk", "-f", "json")
    assert user["default_project_id"] == project["id"]
    run("role", "add", "--user", "clerk", "--project", "osc", "member")
    found = run("role", "assignment", "list", "--user", "clerk", "--names", "-f", "json")
    assert [(each["Role"], each["Project"]) for each in found] == [("member", "osc@Default")]
    clouds = yaml.safe_load(server.clouds.read_text())
    entry = clouds["clouds"]["tintype"]
    auth = {**entry["auth"], "username": "clerk", "password": "first", "project_name": "osc"}
    clouds["clouds"]["clerk"] = {**entry, "auth": auth}
    server.clouds.write_text(yaml.safe_dump(clouds))
    run("user", "password", "set", "--original-password", "first", "--password", "second", cloud="clerk")
    auth["password"] = "second"
    server.clouds.write_text(yaml.safe_dump(clouds))
    made = run(
        "application", "credential", "create", "night", "--role", "reader", "-f", "json", cloud="clerk"
    )
    secret = {"application_credential_id": made["ID"], "application_credential_secret": made["Secret"]}
    secret["auth_url"] = entry["auth"]["auth_url"]
    clouds["clouds"]["night"] = {"auth_type": "v3applicationcredential", "auth": secret}
    server.clouds.write_text(yaml.safe_dump(clouds))
    assert server.run("tintype", "image", "list", cloud="night").returncode == 0
    run("user", "set", "--disable", "clerk")
    refused = server.run("tintype", "image", "list", cloud="night", check=False)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
