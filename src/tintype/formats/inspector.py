"""Detection and safety checks of disk formats: oslo.utils' format inspector, with additional checks.

The parser is the maintained, security-reviewed one of OpenStack. Which findings reject an image follows
Glance. docs/explanation/formats.md gives the reasons for the differences: fixed VHD disks and qcow2 with
extended L2 entries are accepted, and whatever another reader could interpret as a reference to another file
is rejected.
"""

import io
import struct
from collections.abc import Callable
from typing import IO, Any, Final, cast

from oslo_utils.imageutils import format_inspector as oslo

from tintype.errors import UnsupportedMedia
from tintype.formats import structures, vmdk
from tintype.formats.structures import SECTOR

_INSPECTABLE: Final = frozenset(oslo.ALL_FORMATS)
_SLICE: Final = 64 << 10
"""Bytes per call of the parser: in larger chunks it misses structures that point to others (vhdx)."""
_LARGEST: Final = 2**63 - 1
_MAY_HOLD_A_BROKEN_MBR: Final = frozenset({"aki", "ari"})
_PLAIN: Final = frozenset({"raw", "gpt"})
"""The library's name for data in which only a partition table is recognised."""
_MAGIC: Final = (
    (b"QFI\xfb", "qcow2"),
    (b"QED\0", "qed"),
    (b"KDMV", "vmdk"),
    (b"COWD", "vmdk"),
    (b"conectix", "vhd"),
    (b"vhdxfile", "vhdx"),
)
"""Signatures of formats that can refer to other files."""
_BEFORE_TEXT: Final = (b"#", b"v", b" ", b"\r", b"\n")
"""Possible beginnings of a VMDK that is only a descriptor."""


OWN_CHECKS: Final = ("format", "header", "virtual_size", "parent", "footer")
"""Additional checks: another format than declared, an invalid header, an impossible size, a differencing
disk, the footer of a fixed VHD."""


def every_check() -> frozenset[str]:
    """Return the name of each check that can reject an image."""
    names = {name for kind in oslo.ALL_FORMATS.values() for name in kind()._safety_checks}  # noqa: SLF001
    return frozenset(names - {"null"}) | frozenset(OWN_CHECKS)


class _Qcow2(oslo.QcowInspector):
    """Accepts extended L2 entries, too: they only mark the parts of a cluster that have data."""

    I_FEATURES_MAX_BIT = max(5, oslo.QcowInspector.I_FEATURES_MAX_BIT)


class _Vmdk(oslo.VMDKInspector):
    """Has no type until it has read one: the library fails on text with non-ASCII characters."""

    vmdktype = "formatnotfound"


class _Vhdx(oslo.VHDXInspector):
    """Also captures the headers and the second region table."""

    def _initialize(self) -> None:
        super()._initialize()
        self.new_region("headers", oslo.CaptureRegion(structures.HEADERS[0], 128 << 10))
        self.new_region("copy", oslo.CaptureRegion(256 << 10, 64 << 10))


class _Wrapper(oslo.InspectWrapper):
    """The library's wrapper, with the inspectors of this module."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__(source)
        ours = {_Qcow2(), _Vmdk(), _Vhdx()}
        names = {each.NAME for each in ours}
        self._inspectors = {each for each in self._inspectors if each.NAME not in names} | ours


class Inspector:
    """Inspects an image's bytes as they pass. Feed it everything, then call `finish`."""

    def __init__(
        self, disk_format: str | None, tolerated: frozenset[str], warn: Callable[[str], object]
    ) -> None:
        """Create an inspector; a failed check rejects the image, or only calls `warn` if it is tolerated."""
        self._disk_format = disk_format
        self._tolerated = tolerated
        self._warn = warn
        self._window = _Window()
        self._wrapper = _Wrapper(cast("IO[bytes]", self._window))
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Inspect the next bytes: parse them while the parser needs more, then only count them."""
        position = 0
        while position < len(data):
            length = _SLICE if self._wrapper.formats is None else len(data) - position
            self._window.data = data[position : position + length]
            if length == _SLICE:
                self._window.data = bytes(self._window.data)  # the parser keeps parts of it
            self._wrapper.read(length)
            position += length
        self._window.data = b""  # the buffer belongs to the caller
        self._size += len(data)
        if len(self._head) < vmdk.HEAD:
            self._head += bytes(data[: vmdk.HEAD - len(self._head)])
        self._tail = (self._tail + bytes(data[-SECTOR:]))[-SECTOR:]

    def finish(self) -> int | None:
        """Return the virtual size of the disk, in bytes; None if the format does not contain it.

        Raises UnsupportedMedia if the bytes do not have the declared format, or fail a safety check; the
        message names the check.
        """
        failures: dict[str, str] = {}
        virtual_size = self._inspect(failures)
        refused = {name: reason for name, reason in failures.items() if name not in self._tolerated}
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            raise UnsupportedMedia(f"Image failed safety checks: {reasons}.")
        for name, reason in failures.items():
            self._warn(f"{name}: {reason}")
        return None if failures else virtual_size

    def _inspect(self, failures: dict[str, str]) -> int | None:
        """Return the virtual size; add failed checks and their reasons to `failures`."""
        virtual_size: int | None = None
        try:
            self._wrapper.close()
            inspector = self._match()
            found = str(inspector)
            declared = self._disk_format or found
            if declared == "vhd" and found in _PLAIN:  # a fixed one is a plain disk followed by a footer
                virtual_size = self._check_fixed_vhd(found, failures)
            elif found == declared:
                virtual_size = inspector.virtual_size
            elif declared == "raw":
                virtual_size = inspector.actual_size  # any data is a valid raw disk
            elif found != "raw" or declared in _INSPECTABLE:
                failures["format"] = f"disk_format {declared} does not match stream data {found}"
            self._check_structures(inspector, found, failures)
            inspector.safety_check()
        except oslo.SafetyCheckFailed as error:
            failures |= {name: str(reason) for name, reason in error.failures.items()}
            if self._disk_format in _MAY_HOLD_A_BROKEN_MBR:
                failures.pop("mbr", None)
        except oslo.ImageFormatError as error:
            failures["header"] = str(error)
        except (ArithmeticError, LookupError, ValueError, struct.error) as error:
            failures["header"] = f"the header makes no sense: {error}"
        if virtual_size is not None and not 0 <= virtual_size <= _LARGEST:
            failures["virtual_size"] = f"the header claims {virtual_size} bytes; no disk is that large"
        return virtual_size or None

    def _check_fixed_vhd(self, found: str, failures: dict[str, str]) -> int | None:
        """Return the size of the disk before the footer, which must be completely valid."""
        footer, size = structures.vhd_footer(self._tail), self._size - SECTOR
        if footer is None:
            failures["format"] = f"disk_format vhd does not match stream data {found}: no footer at its end"
        elif footer.kind != structures.FIXED:
            failures["footer"] = f"a VHD of type {footer.kind} begins with a copy of its footer"
        elif not footer.sound:
            failures["footer"] = "the checksum of the footer is wrong"
        elif footer.size != size:
            failures["footer"] = f"the footer claims {footer.size} bytes, but {size} bytes precede it"
        else:
            return size
        return None

    def _check_structures(self, inspector: Any, found: str, failures: dict[str, str]) -> None:
        """Check what could refer to another file and the library does not check."""
        reason = None
        for magic, name in _MAGIC:
            if self._head.startswith(magic) and name != found:
                failures["header"] = f"it begins like a {name}, but cannot be parsed as one"
        match found:
            case "vmdk":
                reason = self._check_vmdk(inspector)
                check = "descriptor"
            case "vhd":
                reason, check = structures.vhd_fault(self._head, self._tail), "parent"
            case "vhdx":
                names = ("headers", "header", "copy", "metadata")
                tables = [bytes(inspector.region(n).data) if inspector.has_region(n) else b"" for n in names]
                reason, check = structures.vhdx_fault(*tables), "parent"
            case "vdi":
                reason, check = structures.vdi_fault(self._head), "parent"
            case "qcow2":
                reason, check = structures.qcow2_fault(self._head), "header"
            case _ if self._head.startswith(_BEFORE_TEXT) and vmdk.is_descriptor_file(self._head):
                reason, check = "a VMDK that is only a descriptor consists of other files", "descriptor"
        if reason is not None:
            failures[check] = reason

    def _check_vmdk(self, inspector: Any) -> str | None:
        """Return why a VMDK may refer to other files."""
        if not self._head.startswith(vmdk.SIGNATURE):
            return "a VMDK that is only a descriptor consists of other files"
        reason = vmdk.fault(self._head, bytes(inspector.region("descriptor").data))
        if reason is None and inspector.has_region("footer"):
            reason = vmdk.footer_fault(self._head, bytes(inspector.region("footer").data))
        return reason

    def _match(self) -> Any:
        matches = {str(match): match for match in self._wrapper.formats or ()}
        if matches.keys() == {"iso", "gpt"}:
            return matches["iso"]  # a bootable ISO may begin with a partition table
        return self._wrapper.format


class _Window(io.RawIOBase):
    """The source of the wrapper: the one chunk that it reads next."""

    data: bytes | memoryview = b""

    def read(self, _size: int = -1) -> bytes:
        return self.data  # type: ignore[return-value]


def inspector_for(
    disk_format: str | None,
    container_format: str | None,
    tolerated: frozenset[str],
    warn: Callable[[str], object],
) -> Inspector | None:
    """Return an inspector for bare or unknown formats, as in Glance; otherwise None."""
    return Inspector(disk_format, tolerated, warn) if container_format in {"bare", None} else None
