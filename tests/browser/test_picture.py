"""The picture in the README is made here: `cp .browser/readme.png docs/dashboard.png` keeps a new one."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from disks import QCOW2
from people import SECONDS, Person, password_of
from processes import Api, started

ROOT = Path(__file__).parents[2]
IMAGES = (
    ("windows-server-2025", "qcow2", 64, {"visibility": "private", "protected": True}),
    ("cirros-0.6.3", "qcow2", 20, {"visibility": "public"}),
    ("build-cache", "raw", 48, {"visibility": "private"}),
    ("ubuntu-24.04", "qcow2", 56, {"visibility": "public"}),
    ("router", "raw", 8, {"visibility": "shared"}),
    ("fedora-coreos-41", "qcow2", 72, {"visibility": "community"}),
    ("debian-13", "qcow2", 40, {"visibility": "public", "protected": True}),
)


def test_the_picture_of_the_readme(
    chromium: Browser, tmp_path: Path, shoot: Callable[[Page, str], None]
) -> None:
    """A project with some images, one of them on its way."""
    with started(tmp_path / "data") as server:
        api = Api(server)
        for name, kind, size, more in IMAGES:
            body = {"name": name, "disk_format": kind, "container_format": "bare", **more}
            image = api.http.post("/v2/images", json=body).json()["id"]
            data = (QCOW2 if kind == "qcow2" else b"").ljust(size << 20, b"\0")
            assert api.put(f"/v2/images/{image}", data).status_code == 204
        api.http.close()
        context = chromium.new_context(viewport={"width": 1200, "height": 720})
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        slowly = context.new_cdp_session(page)
        slowly.send("Network.enable")
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 30_000_000}
        slowly.send("Network.emulateNetworkConditions", limits)
        person = Person(page, server.url)
        page.goto(f"{server.url}/dashboard/")
        person.log_in("admin", password_of(server))
        file = tmp_path / "rocky-10.qcow2"
        file.write_bytes(QCOW2.ljust(160 << 20, b"\0"))
        person.create(file)
        expect(page.get_by_role("region", name="Uploads")).to_contain_text("left")
        page.wait_for_function("() => document.querySelector('tt-uploads progress')?.value > 70e6")
        shoot(page, "readme")
        context.close()
    assert "/main/docs/dashboard.png)" in (ROOT / "README.md").read_text()
    assert (ROOT / "docs" / "dashboard.png").read_bytes().startswith(b"\x89PNG")
