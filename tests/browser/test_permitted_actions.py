"""The page offers exactly the permitted actions, and shows the owner of an image."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from people import SECONDS, Person
from processes import Server, started

Browse = Callable[..., Person]
Shoot = Callable[[Page, str], None]
MARKUP = "<b>bold</b>"


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with rules and property protections of an operator, and people with several roles."""
    folder = tmp_path_factory.mktemp("ruled") / "data"
    folder.mkdir()
    (folder / "policy.yaml").write_text('communitize_image: "!"\nadd_member: "!"\n')
    (folder / "protections.conf").write_text(
        "[^license_]\ncreate = @\nread = @\nupdate = admin\ndelete = admin\n"
        "[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"
    )
    (folder / "tintype.toml").write_text(
        '[policy]\nfile = "policy.yaml"\nproperty_file = "protections.conf"\n'
    )
    with started(folder) as running:
        for name, role in (("writer", "member"), ("reader", "reader")):
            command = ("tintype", "user", "create", name, "--password", f"{name}-secret")
            running.run(*command, "--project", "alpha", "--role", role)
        yield running


@pytest.fixture
def enter(chromium: Browser, ruled: Server) -> Iterator[Callable[[str], Person]]:
    """Give what opens a browser at the server with rules of its own."""
    contexts = []

    def entered(name: str) -> Person:
        context = chromium.new_context(viewport={"width": 1280, "height": 860})
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        person = Person(context.new_page(), ruled.url)
        person.page.goto(f"{ruled.url}/dashboard/")
        person.log_in(name, f"{name}-secret")
        return person

    yield entered
    for context in contexts:
        context.close()


def options(person: Person, label: str) -> list[str]:
    return person.page.get_by_role("dialog").get_by_label(label).locator("option").all_inner_texts()


def test_choices_follow_the_operators_rules(enter: Callable[[str], Person]) -> None:
    """Visibilities, sharing and protected properties, each as the policy has it."""
    person = enter("writer")
    page = person.page
    person.make(name="ruled", license_key="x", free="y", visibility="shared")
    person.press("New image")
    assert options(person, "Visibility") == ["private", "shared"]
    page.keyboard.press("Escape")
    person.open("ruled")
    expect(page.get_by_label("Project to share with")).to_have_count(0)
    person.press("Edit")
    assert options(person, "Visibility") == ["private", "shared"]
    page.keyboard.press("Escape")
    person.press("Edit properties")
    box = page.get_by_role("dialog")
    expect(box.get_by_label("free", exact=True)).to_be_editable()
    expect(box.get_by_label("license_key", exact=True)).to_have_count(0)
    expect(box.get_by_role("button", name="Remove license_key")).to_have_count(0)
    expect(box).to_contain_text("Protected: you may not change it.")


def test_a_reader_is_offered_nothing_to_change(enter: Callable[[str], Person]) -> None:
    """Neither a new image, nor a tick for deletion, nor a button that would be refused."""
    enter("writer").make(name="read-only", visibility="private")
    person = enter("reader")
    page = person.page
    person.go("images")
    expect(person.row("read-only")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("button", name="New image")).to_have_count(0)
    person.open("read-only")
    for name in ("Edit", "Edit properties", "Delete", "Protect", "Hide", "Upload a file", "Add", "Share"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


def test_only_ones_own_images_are_ticked(browse: Browse) -> None:
    """Public images of others are in the list, without a tick; an admin may tick them all."""
    admin = browse("admin")
    admin.make(name="for-everyone", visibility="public")
    alice = browse()
    alice.make(name="of-alices-own")
    expect(alice.row("of-alices-own").get_by_role("checkbox")).to_have_count(1)
    expect(alice.row("for-everyone")).to_be_visible()
    expect(alice.row("for-everyone").get_by_role("checkbox")).to_have_count(0)
    alice.open("for-everyone")
    expect(alice.page.get_by_role("button", name="Delete")).to_have_count(0)
    admin.page.reload()
    for name in ("of-alices-own", "for-everyone"):
        expect(admin.row(name).get_by_role("checkbox")).to_have_count(1)


def test_public_is_offered_to_admins_only(browse: Browse) -> None:
    """By the rules that come with the service."""
    for name, expected in (
        ("alice", ["private", "shared", "community"]),
        ("admin", ["private", "shared", "community", "public"]),
    ):
        person = browse(name)
        person.make(name=f"seen-by-{name}")
        person.press("New image")
        assert options(person, "Visibility") == expected
        person.page.keyboard.press("Escape")
        person.open(f"seen-by-{name}")
        person.press("Edit")
        assert options(person, "Visibility") == expected


def test_read_only_properties_are_shown_not_edited(browse: Browse, tmp_path: Path) -> None:
    """Those that a definition says are read-only; they cannot be added either."""
    admin = browse("admin")
    page = admin.page
    page.evaluate(
        """async () => {
          const { glance } = await import('/dashboard/api.js');
          const fixed = { title: 'Fixed', type: 'string', readonly: true };
          await glance.post('metadefs/namespaces/', { namespace: 'Read::Only', visibility: 'public',
            resource_type_associations: [{ name: 'OS::Glance::Image' }], properties: { build_id: fixed } });
        }"""
    )
    admin.make(name="built", build_id="42", note="n")
    admin.open("built")
    admin.press("Edit properties")
    box = page.get_by_role("dialog")
    expect(box.get_by_label("build_id", exact=True)).to_have_count(0)
    expect(box.get_by_role("button", name="Remove build_id")).to_have_count(0)
    expect(box).to_contain_text("Read-only by its definition.")
    box.get_by_label("note", exact=True).fill("changed")
    admin.press("Save")
    admin.says("Properties are saved")
    admin.make(name="not-built")
    admin.open("not-built")
    admin.press("Edit properties")
    box.get_by_label("Property to add").fill("build_id")
    box.get_by_label("Property to add").press("Enter")
    expect(box.get_by_role("status")).to_contain_text("read-only")
    expect(box.locator(".property")).to_have_count(0)


def test_offers_say_from_whom_and_own_project_is_no_member(
    browse: Browse, server: Server, shoot: Shoot
) -> None:
    """By the project's name; sharing with oneself is refused with a reason, in place."""
    server.run("tintype", "project", "create", MARKUP)
    alice, bob = browse("alice"), browse("bob")
    page = alice.page
    alice.make(name="present", visibility="shared")
    alice.open("present")
    sharing = page.get_by_role("region", name="Sharing")
    for wrong, reason in (("alpha", "belongs to"), ("nobody-at-all", "There is no project")):
        page.get_by_label("Project to share with").fill(wrong)
        alice.press("Share")
        expect(sharing.get_by_role("alert")).to_contain_text(reason)
        expect(page.get_by_label("Project to share with")).to_have_value(wrong)
        expect(page.locator(".toast").filter(has_text="Shared")).to_have_count(0)
    for name in ("beta", MARKUP):
        page.get_by_label("Project to share with").fill(name)
        alice.press("Share")
        alice.says(f"Shared with {name}")
        expect(sharing.get_by_role("button", name=f"Stop sharing with {name}")).to_be_visible()
    bob.go("offers")
    row = bob.page.get_by_role("listitem").filter(has=bob.page.get_by_role("link", name="present"))
    expect(row).to_contain_text("from alpha")
    shoot(bob.page, "offers-from")
    row.get_by_role("link").click()
    expect(bob.page.get_by_role("region", name="Facts")).to_contain_text("alpha")
    expect(bob.page.get_by_role("button", name="Stop sharing")).to_have_count(0)
    expect(bob.page.get_by_role("button", name="Accept")).to_be_visible()
