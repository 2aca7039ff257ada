"""The options of the command itself, without the client that uses them."""

from typing import NamedTuple


class Options(NamedTuple):
    """What the command line says of the cloud."""

    cloud: str | None = None
    endpoint: str | None = None
    token: str | None = None
    region: str | None = None
    interface: str | None = None
    verify: bool | str | None = None
    timeout: float | None = None
