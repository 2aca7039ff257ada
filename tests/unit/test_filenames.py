"""The name that a downloaded image gets as a file."""

import re

import pytest

from tintype.dashboard.filenames import attachment, filename
from tintype.domain.images import Image

ID = "6caf7a3f-feb9-4fb1-afb2-993c1ef019e6"


def image(name: str | None, disk: str | None = "qcow2", container: str | None = "bare") -> Image:
    return Image(ID, 0, 0, name=name, disk_format=disk, container_format=container)


@pytest.mark.parametrize(
    ("name", "disk", "container", "expected"),
    [
        ("Debian 12", "qcow2", "bare", "Debian 12.qcow2"),
        ("debian-12.QCOW2", "qcow2", "bare", "debian-12.QCOW2"),
        ("ubuntu.img", "qcow2", "bare", "ubuntu.img.qcow2"),
        ("ubuntu.img", "raw", "bare", "ubuntu.img"),
        ("Debian 12.5", "raw", "bare", "Debian 12.5.raw"),
        ("windows", "vhd", "ovf", "windows.vhd"),
        ("appliance", "vmdk", "ova", "appliance.ova"),
        ("app", "raw", "docker", "app.tar"),
        ("install", "iso", "bare", "install.iso"),
        ("odd", None, None, "odd"),
        ("odd", "future", "bare", "odd"),
        (None, "raw", "bare", f"{ID}.raw"),
        ("", "raw", "bare", f"{ID}.raw"),
        ("Bücher 东京", "raw", "bare", "Bücher 东京.raw"),
        ("../../etc/passwd", "raw", "bare", "_.._etc_passwd.raw"),
        ("a/b\\c", "raw", "bare", "a_b_c.raw"),
        ("..", "raw", "bare", f"{ID}.raw"),
        (".bashrc", "raw", "bare", "bashrc.raw"),
        ("CON", "raw", "bare", "_CON.raw"),
        ("nul.iso", "iso", "bare", "_nul.iso"),
        ('x"; filename="evil.exe', "raw", "bare", "x_; filename=_evil.exe.raw"),
        ("line\r\nSet-Cookie: a=b", "raw", "bare", "lineSet-Cookie_ a=b.raw"),
        ("\u202egnp.exe", "raw", "bare", "gnp.exe.raw"),
        ("\u200b\ufeff", "raw", "bare", f"{ID}.raw"),
        ("trailing. ", "raw", "bare", "trailing.raw"),
    ],
)
def test_names(name: str | None, disk: str | None, container: str | None, expected: str) -> None:
    """They end as their format does, and mean nothing to any system, whatever the image's name."""
    assert filename(image(name, disk, container)) == expected


def test_long_names_are_cut_between_characters() -> None:
    """255 characters of four bytes each fit no file system; the ending stays."""
    for name in ("\U0001f4be" * 255, "\U0001f4be" * 250 + ".qcow2"):
        made = filename(image(name))
        assert made.endswith("\U0001f4be.qcow2")
        assert len(made.encode()) <= 255


@pytest.mark.parametrize("name", ['"; x=y', "a%22b", "Bücher", "\\", "a\nb", "東京", "é" * 255])
def test_the_header_is_one_line_of_ascii_with_both_forms(name: str) -> None:
    """RFC 6266: a quoted name without anything to escape, then the encoded one of RFC 8187."""
    header = attachment(image(name))
    assert re.fullmatch(
        r"attachment; filename=\"[ !#-$&-\[\]-~]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", header
    )
