"""`Client`, as python-glanceclient makes one."""

import re
from typing import Any

from tintype.client.glance.v2 import client as v2


def Client(  # noqa: N802  its name there
    version: Any = None, endpoint: str | None = None, session: Any = None, *args: Any, **kwargs: Any
) -> v2.Client:
    """Make a client of version 2, the only one there is.

    Of a keystoneauth `session`; or of an `endpoint` and `token=`; or of `cloud=`, a name in clouds.yaml.
    With a session the version must be said, here or in the endpoint. Raises RuntimeError where no version
    is said or it is another one.
    """
    found = re.search(r"/v(\d)(\.\d+)?/?$", endpoint or "")
    said = version if version is not None else found and found[1]
    if said is None and "cloud" not in kwargs:
        raise RuntimeError("Say the version of the API: Client('2', …), or an endpoint that ends in /v2.")
    if said is not None and int(float(said)) != 2:
        raise RuntimeError(f"Version {said} of the image API is not supported; use 2.")
    if session is not None and endpoint is not None:
        kwargs.setdefault("endpoint_override", endpoint)
    return v2.Client(endpoint, *args, session=session, **kwargs)
