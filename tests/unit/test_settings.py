"""Settings: where they come from, and that nothing unknown is let pass."""

import re
import textwrap
from pathlib import Path

import pytest

from pages import DOCS
from tintype.configuration import load
from tintype.errors import StartError
from tintype.settings.stores import FileStore, GoogleStore, S3Store


def test_environment_wins_over_file_and_arguments_over_both(tmp_path: Path) -> None:
    """The nearer to the person, the stronger."""
    (tmp_path / "tintype.toml").write_text("[server]\nport = 1\nworkers = 2\nhost = 'file'\n")
    settings = load(
        tmp_path, {"TINTYPE_SERVER_PORT": "3", "TINTYPE_SERVER_HOST": "environment"}, host="argument"
    )
    assert (settings.server.workers, settings.server.port, settings.server.host) == (2, 3, "argument")
    assert settings.data_dir == tmp_path


def test_lists_come_from_the_environment_with_commas(tmp_path: Path) -> None:
    """A list is written a,b."""
    assert load(tmp_path, {"TINTYPE_IMAGES_DISK_FORMATS": "raw, qcow2"}).images.disk_formats == (
        "raw",
        "qcow2",
    )


def test_stores_come_from_both(tmp_path: Path) -> None:
    """A store in the file, its secret in the environment; the first store stays the default one."""
    (tmp_path / "tintype.toml").write_text(
        "[stores.fast]\ntype = 's3'\nbucket = 'b'\naccess_key = 'a'\n[stores.slow]\ntype = 'file'\n"
    )
    environment = {
        "TINTYPE_STORES_FAST_SECRET_KEY": "hidden",
        "TINTYPE_STORES_SLOW_RESERVE": "5",
        "TINTYPE_STORES_GOOGLE_TYPE": "gcs",
        "TINTYPE_STORES_GOOGLE_BUCKET": "b",
        "TINTYPE_STORES_GOOGLE_OPTIONS": '{"service_account": "/key.json"}',
    }
    stores = load(tmp_path, environment).stores
    assert list(stores) == ["fast", "slow", "google"]
    assert stores["fast"] == S3Store(bucket="b", access_key="a", secret_key="hidden")
    assert stores["slow"] == FileStore(reserve=5)
    assert stores["google"] == GoogleStore(bucket="b", options={"service_account": "/key.json"})


@pytest.mark.parametrize(
    ("file", "environment", "complaint"),
    [
        ("[server]\nprot = 1\n", {}, "did you mean 'server.port'"),
        ("[sever]\nport = 1\n", {}, "did you mean 'server'"),
        ("port = 1\n", {}, "'port'"),
        ("server = 1\n", {}, "section"),
        ("[server]\nport = 'x'\n", {}, "a whole number from 0 to 65535"),
        ("[server]\nport = 70000\n", {}, "a whole number from 0 to 65535"),
        ("[server\n", {}, "not valid TOML"),
        ("", {"TINTYPE_SERVER_PROT": "1"}, "did you mean 'TINTYPE_SERVER_PORT'"),
        ("", {"TINTYPE_SERVER_PORT": "x"}, "server.port (TINTYPE_SERVER_PORT) is 'x'"),
        ("", {"TINTYPE_SERVER_PUBLIC_URL": "images.example"}, "must be a URL such as https://"),
        ("stores = {}\n", {}, "[stores.<name>]"),
        ("stores = 1\n", {}, "[stores.<name>]"),
        ("[stores.a]\ntype = 'tape'\n", {}, "stores.a.type"),
        ("[stores.a]\nfolder = '/x'\n", {}, "type"),
        ("[stores.a]\ntype = 'file'\nfolda = '/x'\n", {}, "folda"),
        ("[stores.a]\ntype = 's3'\nbucket = 'b'\n", {}, "access_key"),
        ("[stores.a]\ntype = 'gcs'\nbucket = 'b'\nprefix = 'no-slash'\n", {}, "with a slash at its end"),
        ("", {"TINTYPE_STORES_A_COLOUR": "red"}, "TINTYPE_STORES_A_COLOUR"),
        ("", {"TINTYPE_STORES_A_TYPE": "gcs", "TINTYPE_STORES_A_OPTIONS": "{"}, "not valid JSON"),
    ],
)
def test_what_is_wrong_stops_the_start(
    tmp_path: Path, file: str, environment: dict[str, str], complaint: str
) -> None:
    """Each mistake is one line that names it, with the nearest known name."""
    (tmp_path / "tintype.toml").write_text(file)
    with pytest.raises(StartError) as failure:
        load(tmp_path, environment)
    assert complaint in failure.value.message
    assert "\n" not in failure.value.message


@pytest.mark.parametrize("page", sorted(DOCS.glob("howto/*.md")), ids=lambda page: page.stem)
def test_settings_in_the_docs_are_valid(page: Path, tmp_path: Path) -> None:
    """Each block of settings is accepted in tintype.toml; `…` stands for a secret of the reader."""
    environment = {"TINTYPE_KEYSTONE_PASSWORD": "secret"}
    for block in re.findall(r"^ *```toml\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE):
        (tmp_path / "tintype.toml").write_text(textwrap.dedent(block).replace("…", "x" * 16))
        secrets = {"TINTYPE_STORES_CLOUD_SECRET_KEY": "secret"} if "[stores.cloud]" in block else {}
        load(tmp_path, {**environment, **secrets})
