"""The page that shows the API's document, in a browser: drawn, searched, and nothing leaves the service."""

from playwright.sync_api import Browser, expect

from processes import Server

SECONDS = 60
"""Drawing a hundred operations takes long on a machine that has other work."""


def test_the_page_shows_the_document(chromium: Browser, server: Server) -> None:
    """Operations are there and can be searched for; the console is silent, and all requests are ours."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/docs")
    heading = page.get_by_role("heading", name="Create an image record.")
    expect(heading).to_be_attached(timeout=SECONDS * 1000)
    page.get_by_placeholder("Search...").fill("deactivate")
    found = page.get_by_role("menuitem", name="Deactivate an image: its data cannot be downloaded.")
    expect(found.first).to_be_visible(timeout=SECONDS * 1000)
    assert [url for url in asked if not url.removeprefix("blob:").startswith((server.url, "data:"))] == []
    assert said == []
    context.close()
