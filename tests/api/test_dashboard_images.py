"""Images for pages: every endpoint, parameter and helper behaviour of Horizon's REST, as a page sees them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from browsing import Browser, browser
from inprocess import Prepared, Service, running
from tintype.settings import ImportSettings
from tintype.settings.stores import FileStore, HttpStore
from web import serving

MIB = 1 << 20


async def wait_for(person: Browser, image_id: str, status: str) -> dict[str, Any]:
    for _ in range(200):
        image: dict[str, Any] = await person.get(f"images/{image_id}/")
        if image["status"] == status:
            return image
        await asyncio.sleep(0.05)
    raise AssertionError(image)


async def test_version(service: Service) -> None:
    """Of the image API."""
    assert await (await browser(service, "alice")).get("version/") == {"version": "2"}


async def test_a_list_that_is_not_paged(service: Service) -> None:
    """Newest first, all of them, and nothing more is said to be there."""
    alice = await browser(service, "alice")
    for number in range(30):
        await alice.make(name=f"image-{number:02}")
    found = await alice.get("images/")
    assert [image["name"] for image in found["items"]] == [f"image-{n:02}" for n in reversed(range(30))]
    assert (found["has_more_data"], found["has_prev_data"]) == (False, False)
    assert (await alice.get("images"))["items"] == found["items"]


async def test_pages_forward_and_back(service: Service) -> None:
    """Of the size in the cookie; the page before comes in the order of the list, also of numbers."""
    alice = await browser(service, "alice")
    for number in range(7):
        await alice.make(name=f"image-{number}")
    alice.http.cookies.set("API_RESULT_PAGE_SIZE", "3")
    query = "images/?paginate=true&sort_key=name&sort_dir=asc"

    async def page(more: str = "") -> tuple[list[str], bool, bool, list[str]]:
        found = await alice.get(query + more)
        images = found["items"]
        return (
            [image["name"][-1] for image in images],
            found["has_more_data"],
            found["has_prev_data"],
            [image["id"] for image in images],
        )

    first = await page()
    assert first[:3] == (["0", "1", "2"], True, False)
    second = await page(f"&marker={first[3][-1]}")
    assert second[:3] == (["3", "4", "5"], True, True)
    third = await page(f"&marker={second[3][-1]}")
    assert third[:3] == (["6"], False, True)
    back = await page(f"&marker={third[3][0]}&reversed_order=True")
    assert back == second
    assert await page(f"&marker={second[3][0]}&reversed_order=True") == (*first[:1], True, False, first[3])


async def test_filters(service: Service) -> None:
    """Those of the image API, the older names, Python's words, and a part of the name."""
    alice = await browser(service, "alice")
    one = await alice.make(name="Debian 12 (100%)", os_distro="debian", min_ram=512)
    await alice.make(name="cirros_1", protected=True)

    async def names(query: str) -> list[str]:
        return [image["name"] for image in (await alice.get(f"images/?{query}"))["items"]]

    both = ["cirros_1", "Debian 12 (100%)"]
    assert await names("name=cirros_1") == ["cirros_1"]
    assert await names("os_distro=debian") == ["Debian 12 (100%)"]
    assert await names("is_public=False") == both
    assert await names("is_public=True") == []
    assert await names("is_public=None") == both
    assert await names("protected=True") == ["cirros_1"]
    assert await names(f"property-owner_id={service.projects['alpha']}") == both
    assert await names("search=DEB") == ["Debian 12 (100%)"]
    assert await names("search=%25") == ["Debian 12 (100%)"]  # a sign of LIKE is a sign here
    assert await names("search=s_1") == ["cirros_1"]
    assert await names(f"search={one['id']}") == ["Debian 12 (100%)"]
    assert await names("search=nothing") == []
    for wrong in (
        "sort_key=secret",
        "sort_key=",
        "sort_dir=up",
        "marker=nothing",
        "visibility=none",
        "size_min=x",
    ):
        answer = await alice.send("GET", f"images/?{wrong}")
        assert (answer.status_code, type(answer.json())) == (400, str), wrong


async def test_create_and_show(service: Service) -> None:
    """201, the name in the address, the image in the body; properties by themselves."""
    alice = await browser(service, "alice")
    body = {"name": "a/b é", "disk_format": "vhd", "visibility": "shared", "description": "d", "kernel": "k"}
    answer = await alice.send("PUT", "images/", json=body)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/glance/images/a/b%20%C3%A9"
    assert (made["container_format"], made["status"], made["size"]) == ("ovf", "queued", 0)
    assert made["properties"]["description"] == "d"
    assert "kernel_id" not in made["properties"]
    shown = await alice.get(f"images/{made['id']}/")
    assert shown["properties"]["kernel_id"] == "k"
    assert shown["properties"]["tags"] == []
    properties = await alice.get(f"images/{made['id']}/properties/")
    assert (properties["description"], properties["os_hidden"]) == ("d", False)
    assert "kernel_id" not in properties
    assert await alice.get(f"images/{made['id']}") == shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "request requires JSON body"),
        (b"{}", "request requires JSON body"),
        (b"{", "malformed JSON request: "),
        (b"[1]", "malformed JSON request: "),
        (b'{"visibility": "x"}', "invalid visibility option: x"),
        (b'{"disk_format": "nothing"}', ""),
        (b'{"disk_format": ["raw"]}', ""),
        (b'{"min_ram": "x"}', ""),
        (b'{"a": 5}', ""),
        (b'{"name": 5}', ""),
        (b'{"id": "../..", "self": "x"}', ""),
    ],
)
async def test_what_makes_no_image(service: Service, content: bytes, said: str) -> None:
    """Horizon's words where it has some; never a 500, and nothing is made."""
    alice = await browser(service, "alice")
    for method in ("PUT", "PATCH"):
        path = "images/" if method == "PUT" else f"images/{(await alice.make())['id']}/"
        answer = await alice.send(method, path, content=content)
        assert answer.status_code in {400, 403}, answer.text
        assert answer.json().startswith(said)
    assert {image["name"] for image in (await alice.get("images/"))["items"]} == {"disk"}


async def test_update_says_all_anew(service: Service) -> None:
    """204; what is not said has its default again, which is Horizon's way; properties stay."""
    alice = await browser(service, "alice")
    made = await alice.make(name="old", min_ram=64, hw_x="1", visibility="shared")
    answer = await alice.send("PATCH", f"images/{made['id']}/", json={"name": "new", "hw_y": "2"})
    assert (answer.status_code, answer.content) == (204, b"")
    shown = await alice.get(f"images/{made['id']}/")
    assert (shown["name"], shown["min_ram"], shown["visibility"]) == ("new", 0, "private")
    assert (shown["properties"]["hw_x"], shown["properties"]["hw_y"]) == ("1", "2")
    whole = {**shown, "name": "newer"}  # as the page sends an image back
    whole.pop("properties")
    assert (await alice.send("PATCH", f"images/{made['id']}/", json=whole)).status_code == 204


async def test_properties_are_set_and_removed(service: Service) -> None:
    """What is not there need not be removed; os_hidden is a word or a truth."""
    alice = await browser(service, "alice")
    made = await alice.make(a="1", b="2")
    path = f"images/{made['id']}/properties/"
    body = {"updated": {"a": "3", "c/d": "4", "os_hidden": "true"}, "removed": ["b", "nothing"]}
    answer = await alice.send("PATCH", path, json=body)
    assert (answer.status_code, answer.content) == (204, b"")
    found = await alice.get(path)
    assert {name: found.get(name) for name in ("a", "b", "c/d", "os_hidden")} == {
        "a": "3",
        "b": None,
        "c/d": "4",
        "os_hidden": True,
    }
    await alice.send("PATCH", path, json={"updated": {"os_hidden": "x"}})
    assert (await alice.get(path))["os_hidden"] is False
    odd: Any
    for odd in ([], {}, 5):
        assert (await alice.send("PATCH", path, json={"updated": {"os_hidden": odd}})).status_code == 204
        assert (await alice.get(path))["os_hidden"] is False
    wrong: Any
    for wrong in ({"updated": []}, {"updated": {}, "removed": {"a": 1}}, {"removed": ["a"]}):
        assert (await alice.send("PATCH", path, json=wrong)).status_code == 400, wrong
    assert (await alice.get(path))["a"] == "3"
    refused = await alice.send("PATCH", path, json={"updated": {"a": "9", "status": "active"}})
    assert refused.status_code in {400, 403}
    assert (await alice.get(path))["a"] == "3"


async def test_what_is_not_ones_own_is_not_there(service: Service) -> None:
    """404 with a sentence, on every path of an image."""
    alice, bob = await browser(service, "alice"), await browser(service, "bob")
    made = await alice.make()
    paths = [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "properties/"),
        ("PATCH", "properties/"),
        ("POST", "actions/deactivate/"),
        ("POST", "actions/reactivate"),
        ("GET", "members/"),
        ("POST", "members/"),
        ("PUT", "tags/x/"),
        ("GET", "tasks/"),
        ("POST", "copies/"),
        ("GET", "file/"),
        ("GET", "uploads/"),
    ]
    for method, rest in paths:
        body = {"name": "x", "member": "x", "all_stores": True, "updated": {"a": "1"}}
        answer = await bob.send(method, f"images/{made['id']}/{rest}", json=body)
        assert (answer.status_code, type(answer.json())) == (404, str), (method, rest)
    assert (await bob.send("POST", f"images/{made['id']}/actions/nothing")).status_code == 404
    assert (await alice.get(f"images/{made['id']}/"))["name"] == "disk"


async def test_delete_close_and_open(service: Service) -> None:
    """204 each; a protected image says why not."""
    alice, admin = await browser(service, "alice"), await browser(service, "admin", project="admin")
    made = await alice.make(protected=True)
    refused = await alice.send("DELETE", f"images/{made['id']}/")
    assert (refused.status_code, "protected" in refused.json()) == (403, True)
    upload = {"Content-Type": "application/octet-stream"}
    await service.call("alice", "PUT", f"/v2/images/{made['id']}/file", content=b"x", headers=upload)
    for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        assert (await admin.send("POST", f"images/{made['id']}/actions/{action}/")).status_code == 204
        assert (await alice.get(f"images/{made['id']}/"))["status"] == status
    body = {"name": "disk", "protected": False}
    assert (await alice.send("PATCH", f"images/{made['id']}/", json=body)).status_code == 204
    assert (await alice.send("DELETE", f"images/{made['id']}/")).status_code == 204
    assert (await alice.send("GET", f"images/{made['id']}/")).status_code == 404


async def test_a_file_by_itself(service: Service) -> None:
    """Horizon's direct mode: the answer says where the file goes, and with which token."""
    alice = await browser(service, "alice")
    made = await alice.make(data="disk.raw", source_type="file-direct")
    assert made["upload_url"] == f"http://testserver/v2/images/{made['id']}/file"
    headers = {"X-Auth-Token": made["token_id"], "Content-Type": "application/octet-stream"}
    answer = await alice.http.put(made["upload_url"], content=b"bytes", headers=headers)
    assert answer.status_code == 204
    image = await wait_for(alice, made["id"], "active")
    assert image["size"] == 5
    file = await alice.http.get(f"/api/glance/images/{made['id']}/file")  # a link: no script's header
    assert file.content == b"bytes"
    assert (
        file.headers["content-disposition"] == "attachment; filename=\"disk.raw\"; filename*=UTF-8''disk.raw"
    )
    assert "sandbox" in file.headers["content-security-policy"]


async def test_a_file_in_a_form(service: Service) -> None:
    """Horizon's legacy mode: fields are text, or stand in $$originalJSON, before or behind the file."""
    alice = await browser(service, "alice")
    fields = {"name": "formed", "disk_format": "raw", "min_ram": "64", "protected": "false", "hw_x": "1"}
    answer = await alice.send("POST", "images/", data=fields, files={"data": ("d.raw", b"x" * MIB)})
    made = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/glance/images/formed")
    assert (made["status"], made["size"], made["min_ram"]) == ("active", MIB, 64)
    assert made["properties"]["hw_x"] == "1"
    typed = json.dumps({"name": "typed", "min_disk": 3, "protected": True, "data": {}})
    boundary = "b"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="d"\r\n\r\nbytes\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="$$originalJSON"\r\n\r\n{typed}\r\n'
        f"--{boundary}--\r\n"
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = await alice.send("POST", "images/", content=body, headers=headers)
    made = answer.json()
    assert (made["name"], made["min_disk"], made["protected"], made["size"]) == ("typed", 3, True, 5)
    without = await alice.send("POST", "images/", data={"name": "empty"}, files={"other": ("x", b"")})
    assert without.json()["status"] == "queued"


async def test_forms_that_make_no_image(service: Service) -> None:
    """A sentence and a 4xx; bytes that are refused leave no image behind."""
    alice = await browser(service, "alice")
    wrong = {"name": "bad", "disk_format": "qcow2"}
    answer = await alice.send("POST", "images/", data=wrong, files={"data": ("d", b"no qcow2")})
    assert (answer.status_code, type(answer.json())) == (415, str)
    answer = await alice.send("POST", "images/", data={"$$originalJSON": "["}, files={"data": ("d", b"x")})
    assert answer.status_code == 400
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    for content in (b"--b\r\nnonsense", b"--b\r\nContent-Disposition: x\r\n\r\n--b--"):
        answer = await alice.send("POST", "images/", content=content, headers=broken)
        assert answer.status_code in {201, 400}, answer.text
    no_boundary = {"Content-Type": "multipart/form-data"}
    assert (await alice.send("POST", "images/", content=b"x", headers=no_boundary)).status_code == 400

    async def endless() -> Any:
        yield b"--b\r\n"

    answer = await alice.send("POST", "images/", content=endless(), headers=broken)
    assert (answer.status_code, "length" in answer.json()) == (400, True)
    cut = '--b\r\nContent-Disposition: form-data; name="data"; filename="d"\r\n\r\nbytes'
    for form in (cut, f"{cut}\r\n--b\r\n", f"{cut}\r\n--b-"):
        answer = await alice.send("POST", "images/", content=form, headers=broken)
        assert (answer.status_code, "cut off" in answer.json()) == (400, True)
    whole = f"{cut}\r\n--b--\r\n"
    for kind in (
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "",
        broken["Content-Type"][:-3],
    ):
        answer = await alice.send("POST", "images/", content=whole, headers={"Content-Type": kind})
        assert answer.status_code == 400, kind
    for charset in ("undefined", "nothing", "unicode_escape", "latin-1"):
        field = 'Content-Disposition: form-data; name="$$originalJSON"'
        typed = f'--b\r\n{field}\r\n\r\n{{"name": "\\ud800"}}\r\n--b--\r\n'
        kind = f"{broken['Content-Type']}; charset={charset}"
        answer = await alice.send("POST", "images/", content=typed, headers={"Content-Type": kind})
        assert answer.status_code == 400, (charset, answer.text)
    assert (
        await alice.send("POST", "images/", data={"data": "text"}, files={"x": ("d", b"")})
    ).status_code == 400
    many = {f"f{number}": "x" for number in range(1100)}
    assert (await alice.send("POST", "images/", data=many, files={"data": ("d", b"x")})).status_code == 400
    names = {image["name"] for image in (await alice.get("images/"))["items"]}
    assert names <= {""}


async def test_who_may_not_make_images_is_told_before_a_form_is_read(service: Service) -> None:
    """A reader's gigabytes do not fill a disk first."""
    carol = await browser(service, "carol")
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += MIB
            yield b"x" * MIB

    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(100 * MIB)}
    answer = await carol.send("POST", "images/", content=endless(), headers=headers)
    assert answer.status_code == 403
    alice = await browser(service, "alice")
    huge = {**headers, "Content-Length": str(1 << 60)}
    assert (await alice.send("POST", "images/", content=endless(), headers=huge)).status_code == 413


async def test_a_name_is_found_as_it_is_written(service: Service) -> None:
    """Beyond ASCII, too."""
    alice = await browser(service, "alice")
    await alice.make(name="ÄPFEL Ünd")
    for text in ("ÄPFEL", "PFEL", "pfel", "Ünd"):
        assert len((await alice.get(f"images/?search={text}"))["items"]) == 1, text


async def test_bytes_from_a_url(prepared: Prepared, tmp_path: Path) -> None:
    """`import_data` copies them, else they stay where they are; a URL that is refused leaves nothing."""
    loopback = ImportSettings(allowed_networks=("127.0.0.0/8",), ports=tuple(range(1024, 65536)))
    stores = {"local": FileStore(), "web": HttpStore()}
    async with running(prepared, tmp_path, imports=loopback, stores=stores) as service:
        alice = await browser(service, "alice")
        worker = asyncio.create_task(service.parts.worker.run())
        try:
            with serving(lambda request: request.ranged(b"web")) as server:
                for import_data in (True, False):
                    made = await alice.make(image_url=f"{server.url}/disk", import_data=import_data)
                    assert made["status"] == ("importing" if import_data else "queued")
                    assert "upload_url" not in made
                    image = await wait_for(alice, made["id"], "active")
                    assert image["size"] == 3
                    assert image["properties"]["stores"] == ("local" if import_data else "web")
                for address in ("ftp://nowhere/", ["x"], "http://169.254.169.254/latest", "x" * 5000):
                    for import_data in (True, False):
                        body = {
                            "name": "bad",
                            "image_url": address,
                            "import_data": import_data,
                            "protected": True,
                        }
                        answer = await alice.send("PUT", "images/", json=body)
                        assert answer.status_code in {400, 403}, answer.text
            assert [image["name"] for image in (await alice.get("images/"))["items"]] == ["disk", "disk"]
        finally:
            worker.cancel()
            await asyncio.wait([worker])


async def test_a_change_of_very_many_properties_is_refused_by_their_number(service: Service) -> None:
    """Before any of them is looked at: they would hold up everybody else."""
    alice = await browser(service, "alice")
    made = await alice.make()
    body = {"updated": {f"p{number}": "x" for number in range(1001)}, "removed": []}
    answer = await alice.send("PATCH", f"images/{made['id']}/properties/", json=body)
    assert (answer.status_code, "at most 1000 operations; 1001" in answer.text) == (400, True), answer.text


@pytest.mark.parametrize("boundary", ["", "b" * 71, "b" * 257])
async def test_a_boundary_that_no_form_can_have(service: Service, boundary: str) -> None:
    """RFC 2046 allows 1 to 70 bytes; more was an error of the server's."""
    alice = await browser(service, "alice")
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = await alice.send("POST", "images/", content=b"", headers=kind)
    assert (answer.status_code, "boundary of 1 to 70 bytes" in answer.text) == (400, True), answer.text
