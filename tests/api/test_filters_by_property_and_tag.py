"""Lists find images by properties and tags of any text, and only those that have them."""

from urllib.parse import quote

from inprocess import Service

TEXTS = (
    *(
        "plain",
        "Plain",
        "100%",
        "_",
        "~",
        "~%",
        'a"b',
        '"',
        'a":"b',
        "\\",
        '\\"',
        "a\\nb",
        "\n",
        "\t",
        "'",
        ",",
    ),
    *(
        ":",
        "ü",
        "U",
        "😀",
        "\u0001",
        "\u2028",
        "x" * 199,
        "x" * 200,
        "x" * 254 + "y",
        "x" * 254 + "z",
        "é" * 127,
    ),
)


async def test_by_property(service: Service) -> None:
    """Each of many hostile values, and names, is found by itself: nothing else that looks like it."""
    made = {}
    for text in TEXTS:
        answer = await service.call(
            "alice", "POST", "/v2/images", json={"name": "v", "key": text, text: "value"}
        )
        assert answer.status_code == 201, (text, answer.text)
        made[text] = answer.json()["id"]
    for value in ("x" * 256, "x" * 1999 + "1", "x" * 1999 + "2", "é" * 300):
        answer = await service.call("alice", "POST", "/v2/images", json={"key": value})
        made[value] = answer.json()["id"]
    for text, image in made.items():
        queries = [f"key={quote(text, safe='')}"]
        if text in TEXTS:
            queries.append(f"{quote(text, safe='')}=value")
        for query in queries:
            for who in ("alice", "admin"):
                listed = await service.call(who, "GET", f"/v2/images?{query}")
                assert listed.status_code == 200, (text, listed.text)
                assert [each["id"] for each in listed.json()["images"]] == [image], (who, text)
    answer = await service.call("alice", "GET", "/v2/images?key=PLAIN")
    assert answer.json()["images"] == []


async def test_by_tag(service: Service) -> None:
    """So is each of many hostile tags, alone and with another; as with Glance spaces around do not count."""
    tags = [text for text in TEXTS if text.strip()]
    for text in tags:
        answer = await service.call(
            "alice", "POST", "/v2/images", json={"name": text, "tags": [text, "every"]}
        )
        assert answer.status_code == 201, (text, answer.text)
    for text in tags:
        for query in (f"tag={quote(text, safe='')}", f"tag=every&tag={quote(text, safe='')}"):
            listed = (await service.call("alice", "GET", f"/v2/images?{query}")).json()["images"]
            assert [each["name"] for each in listed] == [text], text
    every = await service.call("alice", "GET", "/v2/images?tag=every&limit=99")
    assert len(every.json()["images"]) == len(tags)
