"""Imports as they are asked for, the images that they are for, and the stores that they fill."""

from typing import Any

import msgspec
import pytest

from tintype.domain import imports
from tintype.domain.images import Image
from tintype.domain.imports import METHODS, Import
from tintype.errors import Conflict, Invalid

SHA256 = "ab" * 32
REMOTE = "6caf7a3f-feb9-4fb1-afb2-993c1ef019e6"
LONGEST = {
    "uri": 8192,
    "glance_region": 2048,
    "glance_image_id": 2048,
    "glance_service_interface": 2048,
}
WEB = {"name": "web-download", "uri": "https://x"}


def parse(method: Any, header: str | None = None, **more: Any) -> Import:
    return imports.parse({"method": method, **more}, header, METHODS)


def test_each_method() -> None:
    assert parse({"name": "glance-direct"}) == Import("glance-direct")
    assert parse({"name": "copy-image"}, all_stores=True) == Import("copy-image", all_stores=True)
    expected = {"algo": "sha256", "value": SHA256.upper()}
    assert parse({**WEB, "expected_hash": expected}) == Import(
        "web-download", "https://x", {"sha256": SHA256}
    )
    remote = {"name": "glance-download", "glance_region": "r", "glance_image_id": REMOTE}
    assert parse(remote) == Import("glance-download", region="r", remote_id=REMOTE)
    internal = parse(remote | {"glance_service_interface": "internal"})
    assert internal.interface == "internal"
    assert parse(remote | {"glance_service_interface": ""}).interface == "public"
    assert parse(WEB, all_stores_must_succeed=False).must_succeed is False


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "Import request requires a 'method' field."),
        ({}, "Import request requires a 'method' field."),
        ({"method": "web-download"}, "Import request requires a 'name' field."),
        ({"method": {}}, "Import request requires a 'name' field."),
        ({"method": {"name": "magic"}}, "Unknown import method name 'magic'."),
        ({"method": {"name": ["x"]}}, "Unknown import method name '['x']'."),
        *(
            ({"method": WEB, flag: "yes"}, f"'{flag}' must be boolean value only")
            for flag in ("all_stores", "all_stores_must_succeed")
        ),
        *(
            (
                {"method": {**WEB, name: wrong}},
                f"'{name}' must be a string of at most {LONGEST[name]} characters.",
            )
            for name in LONGEST
            for wrong in (7, "x" * (LONGEST[name] + 1))
        ),
    ],
)
def test_what_makes_no_sense(body: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        imports.parse(body, None, METHODS)
    assert refusal.value.message == message


def test_methods_may_be_closed() -> None:
    with pytest.raises(Invalid, match="Unknown import method name 'web-download'"):
        imports.parse({"method": WEB}, None, ["glance-direct"])
    for name, attribute in (("uri", "uri"), ("glance_region", "region")):
        longest = "x" * LONGEST[name]
        assert getattr(parse({**WEB, name: longest}), attribute) == longest


PLACE = "'expected_hash' belongs in 'method', and only web-download supports it."


def test_where_an_expected_hash_stands() -> None:
    expected = {"algo": "sha256", "value": SHA256}
    cases: list[tuple[Any, dict[str, Any]]] = [
        (WEB, {"expected_hash": expected}),
        ({"name": "glance-direct", "expected_hash": expected}, {}),
    ]
    for method, more in cases:
        with pytest.raises(Invalid) as refusal:
            parse(method, **more)
        assert refusal.value.message == PLACE
    wrong: Any
    for wrong in ([], "x", {}, {"algo": "sha256"}, {**expected, "more": 1}):
        with pytest.raises(Invalid, match="is written like"):
            parse({**WEB, "expected_hash": wrong})
    assert parse({**WEB, "expected_hash": None}).expected == {}


@pytest.mark.parametrize(("algorithm", "digits"), [("md5", 32), ("sha256", 64), ("sha512", 128)])
def test_digests(algorithm: str, digits: int) -> None:
    """In hex, as long as the algorithm makes them."""
    assert imports.checked_digest(algorithm, "aB" * (digits // 2)) == "ab" * (digits // 2)
    for wrong in (
        None,
        7,
        "",
        "a" * (digits - 1),
        "a" * (digits + 1),
        "g" * digits,
        "a" * (digits - 1) + "\n",
    ):
        with pytest.raises(Invalid) as refusal:
            imports.checked_digest(algorithm, wrong)
        assert refusal.value.message == f"A {algorithm} hash has {digits} hexadecimal digits."


@pytest.mark.parametrize("algorithm", [None, 7, "", "sha1", "SHA256"])
def test_algorithms(algorithm: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        imports.checked_digest(algorithm, "a" * 64)
    assert refusal.value.message == "The algorithm of a hash must be one of: md5, sha256, sha512."


def test_stores_are_named_once() -> None:
    """In the body, or in the header, or in both alike as openstacksdk does."""
    assert parse(WEB).stores is None
    assert parse(WEB, "fast").stores == ("fast",)
    assert parse(WEB, stores=["b", "a", "b"]).stores == ("b", "a")
    assert parse(WEB, "fast", stores=["fast"]).stores == ("fast",)
    assert parse(WEB, stores=["x" * 255]).stores == ("x" * 255,)
    assert len(parse(WEB, stores=[str(number) for number in range(255)]).stores or ()) == 255
    assert parse(WEB, all_stores=True).stores is None


ALL = "All_stores parameter can't be used with x-image-meta-store header or stores parameter"
NAMES = "'stores' must be an array of names of stores, and not empty."


@pytest.mark.parametrize(
    ("header", "more", "message"),
    [
        ("fast", {"all_stores": True}, ALL),
        (None, {"all_stores": True, "stores": ["fast"]}, ALL),
        (
            "fast",
            {"stores": ["slow"]},
            "Stores parameter and x-image-meta-store header can't be both specified",
        ),
        *(
            (None, {"stores": wrong}, NAMES)
            for wrong in (None, [], "fast", [1], ["x" * 256], ["a"] * 256, {"a": 1})
        ),
    ],
)
def test_stores_that_contradict(header: str | None, more: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(WEB, header, **more)
    assert refusal.value.message == message


def test_a_task_notes_what_is_known() -> None:
    """Whatever else a request has: it may be large."""
    body = {
        "method": {**WEB, "expected_hash": 1, "glance_region": 2, "glance_image_id": 3, "x": 4}
        | {"glance_service_interface": 5},
        "stores": ["a"],
        "all_stores": False,
        "all_stores_must_succeed": True,
        "more": "x",
    }
    assert imports.recorded(body) == {
        "method": {
            **WEB,
            "expected_hash": 1,
            "glance_region": 2,
            "glance_image_id": 3,
            "glance_service_interface": 5,
        },
        "stores": ["a"],
        "all_stores": False,
        "all_stores_must_succeed": True,
    }


def image(status: str, **values: Any) -> Image:
    made = Image("one", 0, 0, status=status, disk_format="raw", container_format="bare")
    return msgspec.structs.replace(made, **values)


READY = {
    "web-download": ("queued", Import("web-download", "https://x")),
    "glance-download": ("queued", Import("glance-download", region="r", remote_id=REMOTE)),
    "glance-direct": ("uploading", Import("glance-direct")),
    "copy-image": ("active", Import("copy-image")),
}
STAGED = "Image needs to be staged before 'glance-direct' method can be used"
COPIED = "Only images with status active can be targeted for copying"


@pytest.mark.parametrize("method", READY)
@pytest.mark.parametrize("status", ["queued", "uploading", "saving", "importing", "active", "deactivated"])
def test_each_method_has_its_status(method: str, status: str) -> None:
    wanted = READY[method][1]
    if status == READY[method][0]:
        imports.check_importable(image(status), wanted)
        return
    with pytest.raises(Conflict) as refusal:
        imports.check_importable(image(status), wanted)
    if method == "copy-image":
        message = COPIED
    elif status == "active":
        message = "Image with status active cannot be target for import"
    else:
        queued = f"Image needs to be in 'queued' state to use '{method}' method"
        message = STAGED if method == "glance-direct" else queued
    assert refusal.value.message == message


@pytest.mark.parametrize("method", READY)
def test_one_task_at_a_time_and_formats_first(method: str) -> None:
    status, wanted = READY[method]
    with pytest.raises(Conflict) as refusal:
        imports.check_importable(image(status, import_task="t"), wanted)
    assert refusal.value.message == (
        "New operation on image 'one' is not permitted as prior operation is still in progress: "
        "task t. Cancel it, or wait for its end."
    )
    for name in ("container_format", "disk_format"):
        with pytest.raises(Conflict) as refusal:
            imports.check_importable(image(status, **{name: None}), wanted)
        assert refusal.value.message == f"'{name}' needs to be set before import"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Import("web-download"), "'uri' needs to be set for web-download import method"),
        (
            Import("glance-download", remote_id=REMOTE),
            "'glance_region' needs to be set for glance-download import method",
        ),
        (
            Import("glance-download", region="r"),
            "'glance_image_id' needs to be set for glance-download import method",
        ),
        (
            Import("glance-download", region="r", remote_id="x"),
            "Remote image id does not look like a UUID: x",
        ),
    ],
)
def test_what_a_method_needs(wanted: Import, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        imports.check_importable(image("queued"), wanted)
    assert refusal.value.message == message


WRITABLE, KNOWN = ("fast", "slow"), ("fast", "slow", "web")


def targets(wanted: Import, *stores: str) -> tuple[str, ...]:
    return imports.targets(image("active", stores=stores), wanted, WRITABLE, KNOWN)


def test_stores_to_fill() -> None:
    """The first writable one by default; a copy goes to where the image is not."""
    web, copy = Import("web-download"), Import("copy-image")
    assert targets(web) == ("fast",)
    assert targets(msgspec.structs.replace(web, stores=("slow", "fast")), "slow") == ("slow", "fast")
    assert targets(msgspec.structs.replace(web, all_stores=True), "slow") == ("fast", "slow")
    assert targets(msgspec.structs.replace(copy, all_stores=True), "slow") == ("fast",)
    assert targets(msgspec.structs.replace(copy, all_stores=True), "slow", "fast") == ()
    assert targets(msgspec.structs.replace(copy, stores=("slow",)), "fast") == ("slow",)
    with pytest.raises(Invalid) as refusal:
        targets(msgspec.structs.replace(copy, stores=("slow",)), "slow")
    assert refusal.value.message == "Image is already present at store 'slow'"
    for name, message in (
        ("x", "Store 'x' does not exist. There are: fast, slow, web."),
        ("web", "Store 'web' is read-only."),
    ):
        with pytest.raises(Conflict) as refused:
            targets(msgspec.structs.replace(web, stores=("fast", name)))
        assert refused.value.message == message


def test_properties_that_come_along() -> None:
    """Those that begin as an operator says, texts only, and never the service's own."""
    there = {"os_distro": "d", "hw_disk": "s", "os_glance_x": "x", "os_number": 7, "name": "n"}
    assert imports.copied_properties(there, ["os_", "hw_"]) == {"os_distro": "d", "hw_disk": "s"}
    assert imports.copied_properties(there, []) == {}
