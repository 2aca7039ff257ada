"""Settings: where they come from, and that nothing unknown is let pass."""

from pathlib import Path

import pytest

from tintype.errors import StartError
from tintype.settings import load


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


@pytest.mark.parametrize(
    ("file", "environment", "complaint"),
    [
        ("[server]\nprot = 1\n", {}, "'server.prot'; did you mean 'server.port'"),
        ("[sever]\nport = 1\n", {}, "'sever'; did you mean 'server'"),
        ("port = 1\n", {}, "'port'"),
        ("server = 1\n", {}, "section"),
        ("[server]\nport = 'x'\n", {}, "wrong value"),
        ("[server]\nport = 70000\n", {}, "wrong value"),
        ("[server\n", {}, "not valid TOML"),
        ("", {"TINTYPE_SERVER_PROT": "1"}, "did you mean 'TINTYPE_SERVER_PORT'"),
        ("", {"TINTYPE_SERVER_PORT": "x"}, "wrong value"),
        ("", {"TINTYPE_SERVER_PUBLIC_URL": "images.example"}, "wrong value"),
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
