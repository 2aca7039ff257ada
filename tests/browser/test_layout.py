"""The layout: important elements are not wrapped, covered or outside the screen."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from people import Person, box_of
from web import serving

Browse = Callable[..., Person]
Shoot = Callable[[Page, str], None]
PHONE: ViewportSize = {"width": 360, "height": 740}
LAPTOP: ViewportSize = {"width": 1280, "height": 860}
DESKTOP: ViewportSize = {"width": 1900, "height": 1000}
NAMES = (
    "windows-server-2025-datacenter-core-with-updates",
    "x" * 255,
    "\u202egnp.exe",
    "Ubuntu 24.04 LTS",
    "",
)
BROKEN = """
() => [...document.querySelectorAll('td:not(.name, .message), th, time, .badge')].filter((each) => {
  const range = document.createRange();
  range.selectNodeContents(each);
  const boxes = [...range.getClientRects()].filter((box) => box.width);
  const lines = new Set(boxes.map((box) => Math.round(box.bottom / 12)));
  return each.offsetHeight && lines.size > 2;
}).map((each) => each.textContent)
"""
"""Cells, dates and words that take more than one line (rounded: a badge's border is beside its text)."""


@pytest.mark.parametrize("size", [LAPTOP, DESKTOP], ids=["laptop", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tables_break_names_and_nothing_else(
    browse: Browse, shoot: Shoot, size: ViewportSize, scheme: str
) -> None:
    """Long names go to another line; dates, statuses, formats and headings do not."""
    person = browse(color_scheme=scheme)
    page = person.page
    page.set_viewport_size(size)
    for name in NAMES:
        person.make(name=name, protected=True)
    expect(page.locator("tbody tr").first).to_be_visible()
    shoot(page, f"names-{scheme}-{size['width']}")
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    rows = page.locator("tbody tr").filter(has_text=NAMES[0])
    assert box_of(rows.first)["height"] < 60
    with serving(lambda request: request.send_error(404)) as web:
        person.fetch(f"{web.url}/disk.raw", name=NAMES[0])
        expect(page.locator(".toast.bad")).to_be_visible()
    person.go("tasks")
    expect(page.get_by_role("link", name=NAMES[0]).first).to_be_visible()
    shoot(page, f"tasks-{scheme}-{size['width']}")
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0


COVERED = """
() => {
  const form = document.activeElement.closest('form').getBoundingClientRect();
  return [...document.querySelectorAll('.toast, .upload')].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.top < form.bottom && form.top < box.bottom && box.left < form.right && form.left < box.right;
  }).length;
}
"""


@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=["phone", "laptop"])
def test_messages_do_not_cover_the_form_in_use(browse: Browse, shoot: Shoot, size: ViewportSize) -> None:
    """Where one would, the page moves: for the forms of tags and of sharing, with one to three messages."""
    person = browse()
    page = person.page
    page.set_viewport_size(size)
    person.make(name=f"covered-{size['width']}", visibility="shared")
    person.open(f"covered-{size['width']}")
    for label in ("New tag", "Project to share with"):
        page.get_by_label(label).focus()
        page.evaluate("() => document.activeElement.closest('form').scrollIntoView({ block: 'end' })")
        for number in range(3):
            page.evaluate("async (n) => (await import('/dashboard/toasts.js')).say(`Message ${n}`)", number)
            expect(page.get_by_text(f"Message {number}").last).to_be_visible()
            page.wait_for_function(f"() => ({COVERED})() === 0")
        shoot(page, f"messages-{size['width']}")
        for _ in range(page.get_by_role("button", name="Dismiss").count()):
            person.press("Dismiss")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_images_first_and_actions_where_one_is(
    browse: Browse, shoot: Shoot, scheme: str
) -> None:
    """Header and filters leave most of the first screen; what is done to a selection stays in sight."""
    person = browse("bob", color_scheme=scheme)
    page = person.page
    page.set_viewport_size(PHONE)
    for number in range(8):
        person.api("(glance, body) => glance.put('images/', body)", {"name": f"phone-{scheme}-{number}"})
    person.go(f"images?search=phone-{scheme}")
    page.reload()
    first = page.locator("tbody tr").first
    expect(first).to_be_visible()
    shoot(page, f"phone-{scheme}")
    assert box_of(first)["y"] < PHONE["height"] * 0.45
    expect(page.get_by_label("Any format")).to_be_hidden()
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Any format").select_option("raw")
    expect(page.locator("tbody tr")).to_have_count(8)
    last = page.get_by_label(f"Select phone-{scheme}-0")
    page.locator("tt-images:not([aria-busy])").wait_for()
    last.check()
    delete = page.get_by_role("button", name="Delete 1 image")
    expect(delete).to_be_in_viewport(ratio=1)
    shoot(page, f"phone-selected-{scheme}")
    person.press("Clear selection")
    expect(delete).to_be_hidden()
    expect(last).not_to_be_checked()
    page.reload()
    expect(page.get_by_text("Filters (1)")).to_be_visible()
    expect(page.get_by_label("Any format")).to_have_value("raw")
    assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
