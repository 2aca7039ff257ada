"""Ways on after something went wrong, each taken by a person at a browser: nothing that was typed is lost."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from disks import QCOW2
from people import Person
from processes import PASSWORDS
from web import Request, serving

Browse = Callable[..., Person]
Shoot = Callable[[Page, str], None]


def properties(person: Person, image: str) -> dict[str, Any]:
    found: dict[str, Any] = person.api("(glance, id) => glance.get(`images/${id}/properties/`)", image)
    return found


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Give a file that is no qcow2, whatever it is said to be."""
    path = tmp_path / "wrong.raw"
    path.write_bytes(os.urandom(100_000))
    return path


def test_a_wrong_format_is_changed_at_the_failed_upload(browse: Browse, wrong: Path, shoot: Shoot) -> None:
    """The tray offers it; saving sends the same file again, and the image is active as what it is."""
    person = browse()
    page = person.page
    person.create(wrong, name="mislabelled", disk_format="qcow2")
    tray = page.get_by_role("region", name="Uploads")
    tray.get_by_role("button", name="Change format").click()
    box = page.get_by_role("dialog")
    expect(box.get_by_label("Disk format")).to_have_value("qcow2")
    box.get_by_label("Disk format").select_option("raw")
    shoot(page, "change-format")
    person.press("Save and upload again")
    expect(tray).to_be_hidden()
    person.is_active("mislabelled")
    person.open("mislabelled")
    expect(page.get_by_role("region", name="Facts")).to_contain_text("raw in bare")
    person.press("Edit")
    expect(box.get_by_label("Disk format")).to_have_count(0)  # it has its data: what it is stays


def test_a_queued_image_is_edited_until_it_has_its_data(browse: Browse, wrong: Path) -> None:
    """Both formats, on the image's own page, also where none is set; then a file is uploaded."""
    person = browse()
    page = person.page
    image = person.make(name="waiting", disk_format="vhd", min_ram=64)
    person.api(
        """(glance, id) => glance.patch(`images/${id}/properties/`,
           { updated: { disk_format: null, container_format: null }, removed: [] })""",
        image,
    )
    person.open("waiting")
    person.press("Edit")
    box = page.get_by_role("dialog")
    expect(box.get_by_label("Disk format")).to_have_value("")
    box.get_by_label("Disk format").select_option("raw")
    box.get_by_label("Container format").select_option("bare")
    person.press("Save")
    expect(page.get_by_role("region", name="Facts")).to_contain_text("raw in bare")
    with page.expect_file_chooser() as chooser:
        person.press("Upload a file")
    chooser.value.set_files(wrong)
    expect(page.locator("h1 .badge")).to_have_text("active")


def test_a_failed_import_is_named_and_started_again(browse: Browse, shoot: Shoot) -> None:
    """The message says which image; the same address is filled in, at the message, the image and the task."""
    there: list[bytes] = []

    def answer(request: Request) -> None:
        if there:
            request.ranged(there[0])
        else:
            request.send_error(404)

    with serving(answer) as web:
        person = browse()
        page = person.page
        address = f"{web.url}/disks/again.raw"
        person.fetch(address, name="fetched-again", disk_format="raw")
        toast = page.get_by_role("status").locator(".toast.bad").filter(has_text="fetched-again")
        expect(toast).to_contain_text("Import of fetched-again failed")
        shoot(page, "import-failed")
        box = page.get_by_role("dialog")
        toast.get_by_role("button", name="Import again").click()
        expect(box.get_by_label("Address")).to_have_value(address)
        page.keyboard.press("Escape")
        person.go("tasks")
        row = page.get_by_role("row").filter(has_text="fetched-again")
        expect(row.get_by_role("link", name="fetched-again")).to_be_visible()
        shoot(page, "tasks-failed")
        row.get_by_role("button", name="Import fetched-again again").click()
        expect(box.get_by_label("Address")).to_have_value(address)
        page.keyboard.press("Escape")
        person.open("fetched-again")
        person.press("Import again")
        expect(box).to_contain_text("The last upload or import failed")
        box.get_by_label("Disk format").select_option("qcow2")
        shoot(page, "import-again")
        there.append(QCOW2.ljust(100_000, b"\0"))
        box.get_by_role("button", name="Import", exact=True).click()
        expect(page.locator("h1 .badge")).to_have_text("active")
        expect(page.get_by_role("region", name="Facts")).to_contain_text("qcow2 in bare")
        expect(page.get_by_role("button", name="Import again")).to_have_count(0)


def test_an_import_that_is_refused_leaves_the_dialog_open(browse: Browse) -> None:
    """A queued image without any import gets an address; a refusal says why, and the address stays."""
    person = browse()
    page = person.page
    person.make(name="never-imported", disk_format="raw")
    person.open("never-imported")
    person.press("Import from the web")
    box = page.get_by_role("dialog")
    box.get_by_label("Address").fill("http://169.254.169.254/latest")
    box.get_by_role("button", name="Import", exact=True).click()
    expect(box.get_by_role("alert")).to_contain_text("169.254.169.254")
    expect(box.get_by_label("Address")).to_have_value("http://169.254.169.254/latest")


def test_a_property_that_is_typed_but_not_added_is_not_lost(browse: Browse) -> None:
    """Saving adds it and says so, and saves nothing; the second time it is saved."""
    person = browse()
    page = person.page
    image = person.make(name="typed")
    person.open("typed")
    person.press("Edit properties")
    box = page.get_by_role("dialog")
    box.get_by_label("Property to add").fill("os_distro")
    person.press("Save")
    expect(box.get_by_role("alert")).to_contain_text("os_distro was typed but not added")
    box.get_by_label("os_distro", exact=True).fill("debian")
    box.get_by_label("Property to add").fill("os_glance_stage")
    person.press("Save")
    expect(box.get_by_role("alert")).to_contain_text("Nothing is saved yet")
    assert "os_distro" not in properties(person, image)
    box.get_by_label("Property to add").fill("")
    person.press("Save")
    person.says("Properties are saved")
    assert properties(person, image)["os_distro"] == "debian"


def test_empty_values_are_not_stored_and_block_nothing(browse: Browse) -> None:
    """An empty number, an empty text, a text that was emptied: not set, and the page says so."""
    person = browse()
    page = person.page
    image = person.make(name="emptied", note="n", hw_cpu_cores="many", hw_cpu_sockets="-5")
    person.open("emptied")
    person.press("Edit properties")
    box = page.get_by_role("dialog")
    for name in ("hw_cpu_threads", "architecture", "hw_disk_bus"):
        box.get_by_label("Property to add").fill(name)
        box.get_by_label("Property to add").press("Enter")
    expect(box.get_by_label("hw_cpu_cores", exact=True)).to_have_value("many")  # no number, but there
    box.get_by_label("hw_cpu_threads", exact=True).fill("")
    box.get_by_label("note", exact=True).fill("")
    box.get_by_label("hw_disk_bus", exact=True).select_option("virtio")
    person.press("Save")
    person.says("architecture")
    after = properties(person, image)
    assert not {"hw_cpu_threads", "architecture", "note"} & after.keys()
    assert {name: after[name] for name in ("hw_disk_bus", "hw_cpu_cores", "hw_cpu_sockets")} == {
        "hw_disk_bus": "virtio",
        "hw_cpu_cores": "many",
        "hw_cpu_sockets": "-5",
    }


def log_in_again(person: Person, password: str, box: Locator) -> None:
    box.get_by_label("Password").fill(password)
    box.get_by_role("button", name="Log in", exact=True).click()
    expect(box).to_have_count(0)


def test_a_session_that_ends_in_a_dialog_loses_nothing(browse: Browse, shoot: Shoot) -> None:
    """The password is asked for over the page; then the dialog goes on, with what was typed in it saved."""
    person = browse()
    page = person.page
    image = person.make(name="long-typed")
    person.open("long-typed")
    person.press("Edit properties")
    box = page.get_by_role("dialog", name="Properties")
    box.get_by_label("Property to add").fill("story")
    box.get_by_label("Property to add").press("Enter")
    box.get_by_label("story", exact=True).fill("a long one")
    page.context.clear_cookies()
    person.press("Save")
    again = page.get_by_role("dialog", name="Log in again")
    expect(again.get_by_label("User name")).to_have_value("alice")
    shoot(page, "log-in-again")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    again.get_by_label("Password").fill("wrong")
    again.get_by_role("button", name="Log in", exact=True).click()
    expect(again.get_by_role("alert")).to_contain_text("password is wrong")
    log_in_again(person, PASSWORDS["alice"], again)
    person.says("Properties are saved")
    assert properties(person, image)["story"] == "a long one"


def test_a_session_that_ends_is_somebody_elses_page_then(browse: Browse) -> None:
    """Who logs in over the page as another person gets a new page, with nothing of the first one."""
    person = browse()
    page = person.page
    person.make(name="of-alice", visibility="private")
    person.open("of-alice")
    person.press("Edit")
    page.context.clear_cookies()
    person.press("Save")
    again = page.get_by_role("dialog", name="Log in again")
    again.get_by_label("User name").fill("bob")
    log_in_again(person, PASSWORDS["bob"], again)
    expect(page.get_by_role("heading", name="No such image")).to_be_visible()
    expect(page.get_by_text("of-alice")).to_have_count(0)


def test_another_tabs_new_session_is_taken_over(browse: Browse) -> None:
    """Logging in again in one tab renews the others: what is typed in them is saved, not refused."""
    person = browse()
    image = person.make(name="two-tabs")
    person.open("two-tabs")
    other = Person(person.page.context.new_page(), person.url)
    other.page.goto(f"{person.url}/dashboard/#/images/{image}")
    expect(other.page.get_by_role("button", name="Protect", exact=True)).to_be_visible()
    person.press("Edit")
    person.page.get_by_role("dialog").get_by_label("Name", exact=True).fill("renamed-in-one")
    other.page.context.clear_cookies()
    other.press("Protect")
    log_in_again(other, PASSWORDS["alice"], other.page.get_by_role("dialog", name="Log in again"))
    expect(other.page.get_by_role("button", name="Lift protection")).to_be_visible()
    person.press("Save")
    expect(person.page.get_by_role("heading", name="renamed-in-one")).to_be_visible()
    expect(person.page.get_by_role("dialog")).to_have_count(0)


def test_one_log_in_is_enough_for_all_tabs(browse: Browse) -> None:
    """A tab that asks for the password, too, stops asking when it is looked at again."""
    person = browse()
    other = Person(person.page.context.new_page(), person.url)
    other.page.goto(f"{person.url}/dashboard/")
    expect(other.page.get_by_role("heading", name="Images", exact=True)).to_be_visible()
    person.page.context.clear_cookies()
    asked = []
    for each in (person, other):
        each.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
        asked.append(each.page.get_by_role("dialog", name="Log in again"))
        expect(asked[-1]).to_be_visible()
    log_in_again(person, PASSWORDS["alice"], asked[0])
    other.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(asked[1]).to_have_count(0)


def test_an_upload_goes_on_after_a_new_log_in(browse: Browse, tmp_path: Path) -> None:
    """The session ends in the middle of a file: the password is asked for, and the rest is sent."""
    file = tmp_path / "long.raw"
    file.write_bytes(os.urandom(40_000_000))
    person = browse()
    page = person.page
    slowly = page.context.new_cdp_session(page)
    slowly.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 15_000_000}
    slowly.send("Network.emulateNetworkConditions", limits)
    person.create(file)
    page.wait_for_function("() => document.querySelector('tt-uploads progress')?.value > 1e6")
    page.context.clear_cookies()
    slowly.send("Network.emulateNetworkConditions", {**limits, "uploadThroughput": -1})
    log_in_again(person, PASSWORDS["alice"], page.get_by_role("dialog", name="Log in again"))
    expect(page.get_by_role("region", name="Uploads")).to_be_hidden()
    person.is_active("long")


def test_a_download_ends_as_its_format_does(browse: Browse, tmp_path: Path) -> None:
    """Also of an image whose name would mean something else to a system."""
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(QCOW2.ljust(100_000, b"\0"))
    person = browse()
    page = person.page
    for name, expected in (("plain", "plain.qcow2"), ("\u202eexe.\u202d../up\"'<b>", "exe.___up_'_b_.qcow2")):
        image = person.make(name=name, disk_format="qcow2")
        page.goto(f"{person.url}/dashboard/#/images/{image}")
        with page.expect_file_chooser() as chooser:
            person.press("Upload a file")
        chooser.value.set_files(disk)
        expect(page.locator("h1 .badge")).to_have_text("active")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert re.sub("[._]+", "_", download.value.suggested_filename) == re.sub("[._]+", "_", expected)
    assert json.dumps(download.value.suggested_filename).isascii()
