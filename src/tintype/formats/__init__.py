"""Detection and safety checks of disk formats. `inspector.py` decides; the rest check single formats."""

from tintype.formats.inspector import OWN_CHECKS, Inspector, every_check, inspector_for

__all__ = ["OWN_CHECKS", "Inspector", "every_check", "inspector_for"]
