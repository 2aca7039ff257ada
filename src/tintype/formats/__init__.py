"""What are these bytes, and are they safe? `inspector.py` decides; the rest are checks of single formats."""

from tintype.formats.inspector import OWN_CHECKS, Inspector, every_check, inspector_for

__all__ = ["OWN_CHECKS", "Inspector", "every_check", "inspector_for"]
