"""The services that the client is held against."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clouds import Cloud, a_glance, a_tintype
from postgres import Cluster


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("tintype", marks=pytest.mark.xdist_group("client-tintype")),
        pytest.param(
            "glance",
            marks=[
                pytest.mark.needs("glance"),
                pytest.mark.needs("keystone"),
                pytest.mark.needs("postgresql"),
                pytest.mark.xdist_group("client-glance"),
            ],
        ),
    ],
)
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Give a service; those that one process runs the tests of share it."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "tintype":
        yield from a_tintype(folder)
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        yield from a_glance(folder, cluster.url(cluster.create()))


@pytest.fixture(scope="module", autouse=True)
def _environment(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have nothing of the environment say which cloud, but for its file."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("OS_")]:
            patched.delenv(name)
        if "cloud" in request.fixturenames:
            patched.setenv("OS_CLIENT_CONFIG_FILE", str(request.getfixturevalue("cloud").clouds))
        yield


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file to send: zeros between what is none, larger than what is sent in one request."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.write_bytes(os.urandom(5_000_000) + bytes(6_000_000) + os.urandom(3_000_001))
    return path
