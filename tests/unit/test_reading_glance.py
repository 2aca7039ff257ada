"""What is read of a Glance that cannot be asked: forms of its configuration and of its locations."""

from pathlib import Path

import pytest

from tintype.errors import StartError
from tintype.glance import Place, place_of, read_configuration, read_records


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///var/lib/glance/images/abc", Place("file", "/var/lib/glance/images", "abc")),
        ("rbd://fsid/images/abc/snap", Place("rbd", "images", "abc")),
        ("rbd://fsid/my%2Fpool/abc/snap", Place("rbd", "my/pool", "abc")),
        ("rbd://abc", None),
        ("s3+https://key:secret@s3.example.org/bucket/abc", Place("s3", "s3.example.org/bucket", "abc")),
        ("s3://key:secret@s3.eu-west-1.amazonaws.com/bucket/abc", Place("s3", "amazonaws.com/bucket", "abc")),
        ("file:///var/lib/../lib/glance/abc", Place("file", "/var/lib/glance", "abc")),
        ("swift+https://[x", None),
        ("swift+https://account/container/abc", None),
        ("cinder://volume", None),
    ],
)
def test_locations(url: str, place: Place | None) -> None:
    """Each store driver has its form; of what no store of ours can read there is no place."""
    assert place_of(url) == place


def test_stores_of_old_and_new_configurations(tmp_path: Path) -> None:
    """Named backends, the default first; or one store of each kind in [glance_store]."""
    path = tmp_path / "glance-api.conf"
    path.write_text(
        "[DEFAULT]\nenabled_backends = a:file, b:rbd,c:swift\n[database]\nconnection = mysql://g:p%@h/g\n"
        "[glance_store]\ndefault_backend = b\n[a]\nfilesystem_store_datadir = /a\n[b]\nrbd_store_pool = p\n"
    )
    found = read_configuration(path)
    assert found.database == "mysql://g:p%@h/g"
    assert list(found.stores) == ["b", "a", "c"]
    assert found.stores["b"]["pool"] == "p"
    assert found.stores["a"] == {"type": "file", "folder": "/a"}
    assert found.stores["c"] == {}
    path.write_text("[database]\nconnection = x\n[glance_store]\nfilesystem_store_datadir = /old\n")
    assert read_configuration(path).stores["file"]["folder"] == "/old"


@pytest.mark.parametrize("text", ["", "[database]\n", "no ini"])
def test_configurations_without_a_database(tmp_path: Path, text: str) -> None:
    """One line that names the file."""
    path = tmp_path / "glance-api.conf"
    path.write_text(text)
    with pytest.raises(StartError, match=r"glance-api\.conf"):
        read_configuration(path)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite:////nowhere/glance.db",
        "oracle://g:hidden@h/g",
        "mysql+pymysql://g:hidden@h:33o6/g",
        "postgresql://g:hidden@127.0.0.1:99999/g",
        "postgresql://g:hidden@127.0.0.1:1/g",
        "mysql+pymysql://g:hidden@127.0.0.1:1/g",
        "sqlite://",
    ],
)
def test_databases_that_cannot_be_read(url: str) -> None:
    """One line, without the password."""
    with pytest.raises(StartError) as failure:
        read_records(url, list)
    assert "hidden" not in failure.value.message
    assert "\n" not in failure.value.message
