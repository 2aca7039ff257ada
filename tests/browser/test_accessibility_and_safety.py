"""The page is accessible by keyboard and screen reader, small, and safe against hostile data."""

import html
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Response, ViewportSize, expect

from people import Person
from processes import Server

Browse = Callable[..., Person]
Shoot = Callable[[Page, str], None]
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
PLACES = (
    "images",
    "image",
    "offers",
    "tasks",
    "usage",
    "metadata",
    "cache",
    "new",
    "properties",
    "edit",
    "login",
)
PHONE: ViewportSize = {"width": 360, "height": 740}
WIDE: ViewportSize = {"width": 1900, "height": 1000}


def visit(person: Person, place: str) -> None:
    """Show a place of the page, and wait until it is there."""
    page = person.page
    if place in {"image", "properties", "edit"}:
        person.open("looked-at")
    elif place == "new":
        person.go("images")
        person.press("New image")
    else:
        person.go(place)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    if place in {"properties", "edit"}:
        person.press("Edit properties" if place == "properties" else "Edit")
        expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_timeout(200)


@pytest.fixture
def looked_at(browse: Browse, server: Server) -> None:
    """Make an image with everything that can be shown of one."""
    admin = server.run("tintype", "image", "list", "-f", "value")
    if "looked-at" not in admin.stdout:
        made = ["--visibility", "shared", "--property", "os_distro=debian", "--tag", "stable"]
        file = server.folder / "looked-at.raw"
        file.write_bytes(b"bytes" * 1000)
        server.run(
            "tintype", "image", "push", str(file), "--name", "looked-at", "--disk-format", "raw", *made
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["phone", "wide"])
def test_axe_finds_nothing(
    browse: Browse, axe: str, scheme: str, size: ViewportSize, looked_at: None, shoot: Shoot
) -> None:
    """No violation of WCAG 2.2 AA in any place, light or dark, small or wide; nothing scrolls sideways."""
    person = browse("admin", color_scheme=scheme, bypass_csp=True)
    page = person.page
    page.set_viewport_size(size)
    for place in PLACES:
        if place == "login":
            page.get_by_role("button", name="Close").click() if page.get_by_role("dialog").count() else None
            person.press("Log out")
            expect(page.get_by_label("User name")).to_be_visible()
        else:
            visit(person, place)
        page.evaluate(axe)
        found = page.evaluate("(tags) => axe.run(document, {runOnly: tags})", list(RULES))
        wrong = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]
        assert not wrong, (place, wrong)
        assert found["passes"], place
        sideways = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, (place, sideways)
        if place in {"images", "image"}:
            shoot(page, f"{place}-{scheme}-{size['width']}")
        if place in {"new", "properties"}:
            page.keyboard.press("Escape")


def test_the_first_load_is_small_and_quick(browse: Browse, server: Server) -> None:
    """Below 150 kB in all, and below a second on loopback, until there is something to do."""
    context = browse("alice").page.context
    assert context.browser is not None
    fresh = context.browser.new_context()  # nothing is in its cache
    kept: Any = context.cookies()  # by their type not what `add_cookies` takes
    fresh.add_cookies(kept)
    page = fresh.new_page()
    sizes: list[int] = []

    def weigh(answer: Response) -> None:
        if answer.status == 200 and "events" not in answer.url:
            head = sum(len(f"{name}: {value}") for name, value in answer.headers.items())
            sizes.append(len(answer.body()) + head)

    page.on("response", weigh)
    began = time.monotonic()
    page.goto(f"{server.url}/dashboard/")
    expect(page.get_by_role("button", name="New image").first).to_be_visible()
    took = time.monotonic() - began
    page.wait_for_timeout(500)
    fresh.close()
    assert len(sizes) > 8
    print(f"first load: {len(sizes)} answers, {sum(sizes)} bytes, {took:.2f} s")
    assert sum(sizes) < 150_000, sum(sizes)
    assert took < 1, took


def test_everything_by_keyboard(browse: Browse, tmp_path: Path) -> None:
    """An image is made, opened, renamed and deleted without a mouse; focus comes back from where it went."""
    person = browse("bob")
    page = person.page
    person.go("images")
    new = page.get_by_role("button", name="New image").first
    expect(new).to_be_visible()  # a key that is pressed before it goes to what is there
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(new).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(new).to_be_focused()
    page.keyboard.press("Enter")
    file = tmp_path / "typed.raw"
    file.write_bytes(b"x" * 100)
    page.get_by_label("File", exact=True).set_input_files(file)  # the system's own dialog is not the page's
    name = page.get_by_role("dialog").get_by_label("Name", exact=True)
    expect(name).to_have_value("typed")
    name.focus()
    page.keyboard.press("Enter")
    person.is_active("typed")
    person.row("typed").get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Facts")).to_be_visible()
    edit = page.get_by_role("button", name="Edit", exact=True)
    edit.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.get_by_role("dialog").get_by_label("Name", exact=True).focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("renamed")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="renamed")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).focus()
    page.keyboard.press("Enter")
    expect(person.row("renamed")).to_have_count(0)
    person.press("Dismiss")


SCRIPTS = (
    "<script>window.evil=1</script>",
    "<img src=x onerror=window.evil=1>",
    '"><svg onload=window.evil=1>',
    "javascript:window.evil=1",
    "{{constructor.constructor('window.evil=1')()}}",
    "\u202egnp.exe",
)


def test_scripts_in_names_and_properties_are_text(browse: Browse, server: Server) -> None:
    """Stored script: whatever is written of an image is shown as it was written, and runs nowhere."""
    person = browse("bob")
    page = person.page
    page.evaluate(
        """async (scripts) => {
          const { glance } = await import('/dashboard/api.js');
          for (const [at, text] of scripts.entries()) {
            const said = { name: text, description: text, [`p${at}${text}`]: text, visibility: 'shared' };
            const image = await glance.put('images/', said);
            await glance.put(`images/${image.id}/tags/${encodeURIComponent(text)}/`);
          }
        }""",
        list(SCRIPTS),
    )
    for text in SCRIPTS:
        person.go("images")
        page.reload()
        page.get_by_role("link", name=text, exact=True).click()
        expect(page.get_by_role("heading", name=text)).to_be_visible()
        expect(page.get_by_role("region", name="Properties")).to_contain_text(text)
        person.press("Edit properties")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        assert page.evaluate("() => window.evil") is None
    person.go(f"images?search={html.escape(SCRIPTS[0])}")
    person.go("images/%3Cscript%3Ewindow.evil=1%3C%2Fscript%3E")
    expect(page.get_by_role("heading", name="No such image")).to_be_visible()
    assert page.evaluate("() => window.evil") is None


@pytest.fixture
def elsewhere(server: Server) -> Iterator[str]:
    """Serve a stranger's page, on another origin, that frames ours and sends forms to it."""
    page = f"""<!doctype html><title>Elsewhere</title><iframe src="{server.url}/dashboard/"></iframe>
    <form id=f method=post action="{server.url}/api/glance/images/" enctype="multipart/form-data">
    <input name=name value=forged></form>
    <form id=g method=post action="{server.url}/api/session/" enctype="text/plain">
    <input name='{{"username":"bob","password":"bob-secret","x":"' value='"}}'></form>"""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    strange = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=strange.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://localhost:{strange.server_port}"
    strange.shutdown()
    thread.join()
    strange.server_close()


def test_a_strangers_page_does_nothing(browse: Browse, server: Server, elsewhere: str) -> None:
    """Clickjacking and CSRF: no frame shows the page, forms and scripts of another origin do nothing."""
    alice = browse("alice")
    page = alice.page.context.new_page()
    page.goto(elsewhere)
    page.wait_for_timeout(500)
    frame = page.frames[1]
    assert "tt-app" not in frame.content()
    done = page.evaluate(
        """async (url) => {
          const tries = [];
          const session = '/api/session/', images = '/api/glance/images/';
          for (const [method, path] of [['GET', session], ['PUT', images], ['POST', session]]) {
            for (const mode of ['cors', 'no-cors']) {
              try {
                const said = {'X-Requested-With': 'XMLHttpRequest', 'Content-Type': 'application/json'};
                const answer = await fetch(url + path, {method, mode, credentials: 'include',
                  headers: mode === 'cors' ? said : {},
                  body: method === 'GET' ? undefined : '{"name": "forged"}'});
                tries.push(answer.type === 'opaque' ? 'opaque' : answer.status);
              } catch { tries.push('refused'); }
            }
          }
          return tries;
        }""",
        server.url,
    )
    assert set(done) <= {"refused", "opaque"}, done
    for form in ("f", "g"):
        page.goto(elsewhere)
        page.evaluate(f"() => document.getElementById('{form}').submit()")
        page.wait_for_timeout(500)
        assert page.evaluate("() => document.body.innerText").strip() in {
            '"not logged in"',
            '"request must be AJAX"',
        }
    alice.page.reload()
    expect(alice.page.get_by_text("alice", exact=True)).to_be_visible()
    alice.go("images?search=forged")
    expect(alice.page.get_by_role("heading", name="No matching images")).to_be_visible()
