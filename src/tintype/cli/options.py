"""The global options, in a module that does not import the client."""

from typing import NamedTuple


class Options(NamedTuple):
    """The cloud chosen on the command line."""

    cloud: str | None = None
    endpoint: str | None = None
    token: str | None = None
    region: str | None = None
    interface: str | None = None
    verify: bool | str | None = None
    timeout: float | None = None
