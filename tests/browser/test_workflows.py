"""The page's jobs, each done by a person at a browser against a real server."""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from disks import QCOW2
from people import Person
from processes import eventually
from web import Request, serving

Browse = Callable[..., Person]
Shoot = Callable[[Page, str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Give a small qcow2 that is none but by its header."""
    path = tmp_path / "debian-12.qcow2"
    path.write_bytes(QCOW2.ljust(300_000, b"\0"))
    return path


def test_logging_in_and_out(browse: Browse, shoot: Shoot) -> None:
    """A wrong password says so, an empty list says what to do, and out is out."""
    person = browse(None)
    page = person.page
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill("wrong")
    person.press("Log in")
    expect(page.get_by_role("alert")).to_contain_text("user name or password is wrong")
    shoot(page, "login")
    person.log_in("alice", "alice-secret")
    expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
    shoot(page, "empty")
    page.reload()
    expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
    person.press("Log out")
    expect(page.get_by_label("User name")).to_be_visible()
    page.reload()
    expect(page.get_by_label("User name")).to_be_visible()


def test_an_image_of_a_file(browse: Browse, disk: Path, shoot: Shoot, tmp_path: Path) -> None:
    """Chosen, its format seen, uploaded, shown with its facts, edited, tagged, and downloaded the same."""
    person = browse()
    page = person.page
    person.create(disk, description="of the tests")
    person.is_active("debian-12")
    person.open("debian-12")
    facts = page.get_by_role("region", name="Facts")
    for text in ("qcow2 in bare", "300,000 bytes", hashlib.sha512(disk.read_bytes()).hexdigest(), "1.0 GiB"):
        expect(facts).to_contain_text(text)
    page.get_by_label("New tag").fill("stable")
    person.press("Add")
    expect(facts.get_by_role("listitem").filter(has_text="stable")).to_be_visible()
    person.press("Edit")
    page.get_by_label("Minimum memory (MB)").fill("512")
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill("Debian 12")
    person.press("Save")
    expect(page.get_by_role("heading", name="Debian 12")).to_be_visible()
    expect(facts).to_contain_text("512 MB memory")
    person.press("Remove tag stable")
    expect(facts.get_by_role("listitem")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == disk.read_bytes()
    assert download.value.suggested_filename == "Debian 12.qcow2"
    shoot(page, "details")


def test_a_file_that_is_dropped(browse: Browse, disk: Path) -> None:
    """On the list: the dialog opens with it."""
    person = browse()
    person.go("images")
    expect(person.page.get_by_role("heading", name="Images", exact=True)).to_be_visible()
    person.page.evaluate(
        """() => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(1000)], 'dropped.raw'));
          const event = (kind) => new DragEvent(kind, {dataTransfer: files, bubbles: true, cancelable: true});
          document.querySelector('tt-images').dispatchEvent(event('dragover'));
          document.querySelector('tt-images').dispatchEvent(event('drop'));
        }"""
    )
    expect(person.page.get_by_role("dialog").get_by_label("Name")).to_have_value("dropped")
    expect(person.page.get_by_label("Disk format")).to_have_value("raw")
    person.press("Create")
    person.is_active("dropped")


def test_properties_by_the_catalogue(browse: Browse, disk: Path, shoot: Shoot) -> None:
    """Known ones have their titles and their choices; others are free; what is taken away goes."""
    person = browse()
    page = person.page
    person.have(disk, "described")
    person.press("Edit properties")
    box = page.get_by_role("dialog")
    adding = box.get_by_label("Property to add")
    for name in ("hw_disk_bus", "hw_qemu_guest_agent", "my_own"):
        adding.fill(name)
        adding.press("Enter")
    expect(box).to_contain_text("Disk bus")
    expect(box.get_by_label("architecture", exact=True)).to_have_count(0)  # it has none
    box.get_by_label("hw_disk_bus", exact=True).select_option("scsi")
    box.get_by_label("my_own", exact=True).fill("<b>bold</b>")
    shoot(page, "properties")
    person.press("Save")
    shown = page.get_by_role("region", name="Properties")
    for text in ("hw_disk_bus", "scsi", "hw_qemu_guest_agent", "<b>bold</b>"):
        expect(shown).to_contain_text(text)
    person.press("Edit properties")
    person.press("Remove my_own")
    person.press("Save")
    expect(shown).not_to_contain_text("my_own")
    expect(shown).to_contain_text("scsi")


def test_saving_changes_only_what_was_touched(browse: Browse) -> None:
    """Values that a control cannot show as they are stay as they are."""
    person = browse()
    page = person.page
    before = {
        "hw_firmware_stateless": "no",
        "note": "a\nb",
        "hw_disk_bus": "odd",
        "other": "1",
        "os_distro": "",
    }
    person.go("images")
    image = page.evaluate(
        """async (properties) => {
          const { glance } = await import('/dashboard/api.js');
          return (await glance.put('images/', { name: 'untouched', ...properties })).id;
        }""",
        before,
    )
    page.reload()
    person.open("untouched")
    person.press("Edit properties")
    page.get_by_role("dialog").get_by_label("other", exact=True).fill("2")
    person.press("Save")
    person.says("Properties are saved")
    after = page.evaluate(
        "async (id) => (await import('/dashboard/api.js')).glance.get(`images/${id}/properties/`)",
        image,
    )
    assert {name: after[name] for name in before} == {**before, "other": "2"}
    page.goto(f"{person.url}/dashboard/#/images/%E0%A4")
    expect(page.get_by_role("heading", name="No such image")).to_be_visible()


def test_another_tab(browse: Browse) -> None:
    """Who logs out in one tab is logged out in the other; a hidden page holds no connection."""
    person = browse()
    other = person.page.context.new_page()
    other.goto(f"{person.url}/dashboard/")
    expect(other.get_by_role("heading", name="Images", exact=True)).to_be_visible()
    person.press("Log out")
    expect(person.page.get_by_label("User name")).to_be_visible()
    other.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(other.get_by_label("User name")).to_be_visible()


def test_an_import_with_live_progress(browse: Browse, shoot: Shoot) -> None:
    """It is told of while it goes on, in the list, at the image and among the tasks; it can be stopped."""
    size = 3_000_000

    def slowly(request: Request) -> None:
        request.drip(bytes(2000), 0.001, 2000) if "stop" in request.path else trickle(request, size)

    with serving(slowly) as web:
        person = browse()
        page = person.page
        person.fetch(f"{web.url}/files/cirros.raw?x=1")
        expect(person.row("cirros").get_by_text("importing", exact=True)).to_be_visible()
        person.open("cirros")
        expect(page.locator(".work")).to_contain_text("Copied")
        shoot(page, "import")
        expect(page.locator("h1 .badge")).to_have_text("active")
        expect(page.get_by_role("region", name="Tasks")).to_contain_text("web-download")
        person.go("tasks")
        expect(page.get_by_role("row").filter(has_text="success").first).to_be_visible()
        shoot(page, "tasks")
        person.fetch(f"{web.url}/slow.raw", name="stopped")
        person.open("stopped")
        person.press("Stop")
        expect(page.locator("h1 .badge")).to_have_text("queued")


def trickle(request: Request, size: int) -> None:
    """Give zeros, a bit at a time, for some seconds."""
    import time

    request.send_response(200)
    request.send_header("Content-Length", str(size))
    request.end_headers()
    for _ in range(30):
        request.wfile.write(bytes(size // 30))
        request.wfile.flush()
        time.sleep(0.12)


def test_two_people_share_an_image(browse: Browse, disk: Path, shoot: Shoot) -> None:
    """Alice offers, bob sees how many offers there are, accepts, has it in his list, and rejects it later."""
    alice, bob = browse("alice"), browse("bob")
    alice.have(disk, "gift")
    alice.press("Share with projects")
    alice.page.get_by_label("Project to share with").fill("beta")
    alice.press("Share")
    sharing = alice.page.get_by_role("region", name="Sharing")
    expect(sharing).to_contain_text("pending")
    bob.page.reload()
    expect(bob.page.get_by_role("link", name="Shared with me")).to_contain_text("1")
    bob.page.get_by_role("link", name="Shared with me").click()
    expect(bob.page.get_by_role("link", name="gift")).to_be_visible()
    shoot(bob.page, "offers")
    bob.press("Accept")
    bob.says("Accepted")
    bob.go("images")
    expect(bob.row("gift")).to_contain_text("other project")
    bob.open("gift")
    expect(bob.page.get_by_role("button", name="Delete")).to_have_count(0)
    alice.page.reload()
    expect(sharing).to_contain_text("accepted")
    bob.press("Reject")
    bob.go("images")
    expect(bob.row("gift")).to_have_count(0)
    alice.page.reload()
    expect(sharing).to_contain_text("rejected")
    sharing.get_by_role("button", name="Stop sharing").click()
    expect(sharing).to_contain_text("Not shared with any project yet")


def test_copies_in_stores(browse: Browse, disk: Path) -> None:
    """A copy more, and one less; the last one stays."""
    person = browse("admin")  # others may not, by the rules that come with it
    page = person.page
    person.have(disk, "copied")
    copies = page.get_by_role("region", name="Copies")
    expect(copies.get_by_role("button", name="Delete copy")).to_have_count(0)
    copies.get_by_role("button", name="Copy to").click()
    expect(copies.get_by_role("button", name="Delete copy")).to_have_count(2)
    copies.get_by_role("button", name="Delete copy").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete copy").click()
    expect(copies.get_by_role("button", name="Delete copy")).to_have_count(0)


def test_protected_hidden_and_closed(browse: Browse, disk: Path) -> None:
    """What is protected stays, what is hidden is found by the filter, an admin closes and opens."""
    admin = browse("admin")
    page = admin.page
    admin.have(disk, "kept")
    admin.press("Protect")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    admin.press("Hide")
    admin.says("hidden from lists")
    admin.go("images")
    expect(admin.row("kept")).to_have_count(0)
    page.get_by_label("Listed").select_option("hidden")
    page.get_by_role("link", name="kept").click()
    admin.press("Show in lists")
    admin.press("Deactivate")
    expect(page.locator("h1 .badge")).to_have_text("deactivated")
    admin.press("Reactivate")
    expect(page.locator("h1 .badge")).to_have_text("active")
    admin.press("Lift protection")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_enabled()


def test_deleting_can_be_undone(browse: Browse, disk: Path) -> None:
    """For some seconds, for one and for several; who leaves the page has said yes."""
    person = browse()
    page = person.page
    for name in ("first", "second"):
        person.create(disk, name=name)
        person.is_active(name)
    person.open("first")
    person.press("Delete")
    expect(page.get_by_role("heading", name="Images", exact=True)).to_be_visible()
    person.press("Undo")
    page.reload()
    person.is_active("first")
    for name in ("first", "second"):
        page.get_by_label(f"Select {name}").check()
    person.press("Delete 2 images")
    expect(person.row("first")).to_have_count(0)
    person.press("Undo")
    person.is_active("second")
    page.get_by_label("Select second").check()
    person.press("Delete 1 image")
    expect(person.row("second")).to_have_count(0)
    person.press("Dismiss")
    page.get_by_label("Select first").check()
    person.press("Delete 1 image")
    page.goto("about:blank")
    person.go("images")
    for name in ("first", "second"):
        eventually(functools.partial(is_gone, person, name))


def is_kept(page: Page) -> bool:
    page.reload()
    expect(page.get_by_role("heading", name="Cache")).to_be_visible()
    page.wait_for_timeout(200)
    return page.get_by_role("main").get_by_text("KiB").count() > 0


def is_gone(person: Person, name: str) -> bool:
    person.page.reload()
    expect(person.page.get_by_role("heading", name="Images", exact=True)).to_be_visible()
    person.page.locator("tt-images:not([aria-busy])").wait_for()
    return person.row(name).count() == 0


def test_bytes_that_are_refused_say_why(browse: Browse, tmp_path: Path) -> None:
    """A file that is not what it is said to be is explained in the tray, and can be given up."""
    wrong = tmp_path / "wrong.raw"
    wrong.write_bytes(os.urandom(100_000))
    person = browse()
    page = person.page
    person.create(wrong, disk_format="qcow2")
    tray = page.get_by_role("region", name="Uploads")
    expect(tray).to_contain_text("qcow2")
    expect(tray.get_by_role("button", name="Try again")).to_be_visible()
    tray.get_by_role("button", name="Cancel upload").click()
    person.press("Give up")
    expect(tray).to_be_hidden()
    person.go("images?search=wrong")
    expect(page.get_by_role("heading", name="No matching images")).to_be_visible()
    person.press("Clear filters")
    person.fetch("http://169.254.169.254/latest")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("169.254.169.254")


def test_an_image_that_waits_for_bytes_keeps_its_record(browse: Browse, disk: Path, tmp_path: Path) -> None:
    """A file can be sent to it later; who gives that up loses the upload, not the image."""
    wrong = tmp_path / "wrong.raw"
    wrong.write_bytes(os.urandom(100_000))
    person = browse()
    page = person.page
    page.evaluate(
        """async () => (await import('/dashboard/api.js')).glance
          .put('images/', { name: 'waits', disk_format: 'qcow2' })"""
    )
    page.reload()
    person.open("waits")
    for file in (wrong, disk):
        with page.expect_file_chooser() as chooser:
            person.press("Upload a file")
        chooser.value.set_files(file)
        if file is wrong:
            tray = page.get_by_role("region", name="Uploads")
            tray.get_by_role("button", name="Cancel upload").click()
            person.press("Give up")
            expect(tray).to_be_hidden()
            expect(page.locator("h1 .badge")).to_have_text("queued")
    expect(page.locator("h1 .badge")).to_have_text("active")


def test_usage_and_definitions(browse: Browse, shoot: Shoot) -> None:
    """Usage as rings; the catalogue to read, and for an admin to add to."""
    admin = browse("admin")
    page = admin.page
    admin.go("usage")
    expect(page.get_by_role("heading", name="Stored bytes")).to_be_visible()
    shoot(page, "usage")
    admin.go("metadata")
    expect(page.get_by_text("OS::Compute::Hypervisor")).to_have_count(1)
    admin.press("Add from JSON")
    page.get_by_label("Namespace as JSON").fill("{")
    admin.press("Add")
    expect(page.get_by_role("alert")).not_to_be_empty()
    text = '{"namespace": "My::Own", "display_name": "Of my own", "owner": "x", "properties": {}}'
    page.get_by_label("Namespace as JSON").fill(text)
    admin.press("Add")
    own = page.locator("details").filter(has_text="Of my own")
    own.locator("summary").click()
    own.get_by_role("button", name="Make public").click()
    expect(own.locator("summary")).to_contain_text("public")
    own.locator("summary").click()
    own.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(own).to_have_count(0)
    shoot(page, "definitions")


def test_the_cache_of_a_node(browse: Browse, disk: Path) -> None:
    """For admins: what is fetched to be near, and how it goes; others do not see the place."""
    admin = browse("admin")
    page = admin.page
    admin.have(disk, "kept-near")
    admin.press("Add to cache")
    admin.says("fetched into this node's cache")
    page.get_by_role("link", name="Cache").click()
    rows = page.get_by_role("main").get_by_role("listitem")
    eventually(lambda: is_kept(page))
    rows.first.get_by_role("button", name="Drop").click()
    admin.press("Drop all")
    page.get_by_role("dialog").get_by_role("button", name="Drop all").click()
    expect(page.get_by_role("heading", name="The cache is empty")).to_be_visible()
    expect(browse("alice").page.get_by_role("link", name="Cache")).to_have_count(0)
