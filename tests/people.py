"""Users of the dashboard in a real browser."""

from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import FloatRect, Locator, Page, expect

from processes import Server

CHROMIUM = "chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 15


def box_of(element: Locator) -> FloatRect:
    """Return the box of a visible element on the page."""
    box = element.bounding_box()
    assert box is not None
    return box


def password_of(server: Server) -> str:
    """Return the first admin's password."""
    return str(yaml.safe_load(server.clouds.read_text())["clouds"]["tintype"]["auth"]["password"])


class Person:
    """One user on one page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    def log_in(self, name: str, password: str) -> None:
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.press("Log in")
        expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def go(self, place: str) -> None:
        self.page.goto(f"{self.url}/dashboard/#/{place}")

    def row(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("link", name=name, exact=True))

    def open(self, name: str) -> None:
        self.go("images")
        self.page.get_by_role("link", name=name, exact=True).click()
        expect(self.page.get_by_role("heading", name="Facts")).to_be_visible()

    def says(self, text: str) -> None:
        expect(self.page.get_by_role("status").get_by_text(text).first).to_be_visible()

    def create(self, file: Path, **fields: str) -> None:
        """Create an image from a file in the dialog."""
        self.go("images")
        self.press("New image")
        self.page.get_by_label("File", exact=True).set_input_files(file)
        self.choose(fields)
        self.press("Create")

    def fetch(self, address: str, **fields: str) -> None:
        """Create an image from a URL in the dialog."""
        self.go("images")
        self.press("New image")
        self.page.get_by_label("the web").check()
        self.page.get_by_label("Address").fill(address)
        self.choose(fields)
        self.press("Create")

    def choose(self, fields: dict[str, str]) -> None:
        box = self.page.get_by_role("dialog")
        for name, value in fields.items():
            control = box.locator(f"[name={name}]")
            if not control.is_visible():
                box.get_by_text("More", exact=True).click()
            if control.evaluate("each => each.localName") == "select":
                control.select_option(value)
            else:
                control.fill(value)

    def have(self, file: Path, name: str) -> None:
        """Create an image from a file, and open its page."""
        self.create(file, name=name)
        self.is_active(name)
        self.open(name)

    def is_active(self, name: str) -> None:
        expect(self.row(name).get_by_text("active", exact=True)).to_be_visible()

    def api(self, code: str, *values: Any) -> Any:
        """Call a JavaScript function with the page's `glance` and the values."""
        module = "(await import('/dashboard/api.js')).glance"
        return self.page.evaluate(f"async (values) => ({code})({module}, ...values)", list(values))

    def make(self, **attributes: Any) -> str:
        """Create an image without data, and reload the page; returns its id."""
        image = str(self.api("async (glance, body) => (await glance.put('images/', body)).id", attributes))
        self.go("images")
        self.page.reload()
        expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()
        return image
