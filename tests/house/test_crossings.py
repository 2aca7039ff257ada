"""How many of our files a request passes through: the measure of whether it can be followed."""

import sys
from pathlib import Path
from typing import Any

from inprocess import Service

SOURCE = str(Path(__file__).parents[2] / "src" / "tintype")
PATCH_BUDGET = 10
UPLOAD_BUDGET = 13


async def files_crossed(service: Service, *request: Any, **options: Any) -> set[str]:
    """Give our files in which a function runs while a request is served."""
    crossed = set()

    def note(frame: Any, _event: str, _argument: Any) -> None:
        name = frame.f_code.co_filename
        if name.startswith(SOURCE):
            crossed.add(name.removeprefix(SOURCE))

    sys.setprofile(note)
    try:
        response = await service.call(*request, **options)
    finally:
        sys.setprofile(None)
    assert response.status_code < 300, response.text
    return crossed


async def test_an_upload_crosses_few_files(service: Service) -> None:
    """So can an upload, from the socket to the disk."""
    formats = {"disk_format": "raw", "container_format": "bare"}
    image = (await service.call("alice", "POST", "/v2/images", json=formats)).json()
    crossed = await files_crossed(
        service,
        "alice",
        "PUT",
        f"/v2/images/{image['id']}/file",
        content=b"abc",
        headers={"Content-Type": "application/octet-stream"},
    )
    assert len(crossed) <= UPLOAD_BUDGET, "\n".join(sorted(crossed))


async def test_a_patch_crosses_few_files(service: Service) -> None:
    """Renaming an image can be read in one sitting."""
    image = (await service.call("alice", "POST", "/v2/images", json={})).json()
    crossed = await files_crossed(
        service,
        "alice",
        "PATCH",
        f"/v2/images/{image['id']}",
        content=b'[{"op": "replace", "path": "/name", "value": "x"}]',
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
    )
    assert len(crossed) <= PATCH_BUDGET, "\n".join(sorted(crossed))
