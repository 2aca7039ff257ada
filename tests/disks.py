"""The smallest valid disk image."""

QCOW2 = (
    b"QFI\xfb"
    + (3).to_bytes(4)
    + bytes(12)
    + (16).to_bytes(4)
    + (1 << 30).to_bytes(8)
    + bytes(68)
    + (104).to_bytes(4)
)
"""The header of an empty disk of one GiB: version 3, clusters of 64 KiB, 104 bytes long."""
