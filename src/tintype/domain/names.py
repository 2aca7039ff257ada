"""Names of users, projects and application credentials."""

from tintype.errors import Invalid


def check_name(noun: str, name: str) -> None:
    """Raise Invalid for a name that is empty, too long, unprintable, or has spaces around it."""
    if not 1 <= len(name) <= 255 or not name.isprintable() or name != name.strip():
        raise Invalid(f"The name of a {noun} has 1 to 255 printable characters, no space at its ends.")
