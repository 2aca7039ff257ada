"""A real server process with the official clients beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from processes import PASSWORDS, Server, started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with alice in project alpha and bob in beta, each in clouds.yaml."""
    folder = tmp_path_factory.mktemp("server") / "data"
    with started(folder) as running:
        clouds = yaml.safe_load(running.clouds.read_text())
        for name, project in (("alice", "alpha"), ("bob", "beta")):
            password = PASSWORDS[name]
            running.run("tintype", "user", "create", name, "--password", password, "--project", project)
            clouds["clouds"][name] = {
                **clouds["clouds"]["tintype"],
                "auth": {
                    **clouds["clouds"]["tintype"]["auth"],
                    "username": name,
                    "password": password,
                    "project_name": project,
                },
            }
        running.clouds.write_text(yaml.safe_dump(clouds))
        yield running


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of two megabytes to upload."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.write_bytes(os.urandom(2_000_000))
    return path
