"""The client of version 2, by python-glanceclient's names."""

from collections.abc import Mapping
from typing import Any

from tintype.client.blocking.client import Client as Native
from tintype.client.glance.sending import HTTPClient
from tintype.client.glance.v2 import (
    cache,
    image_members,
    image_tags,
    images,
    info,
    metadefs,
    schemas,
    tasks,
    versions,
)


class Client:
    """Groups: `images`, `image_members`, `image_tags`, `tasks`, `info`, `schemas`, `cache`, `metadefs_…`."""

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        session: Any = None,
        cloud: str | None = None,
        token: str | None = None,
        identity_headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        insecure: bool = False,
        cacert: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        language_header: str | None = None,
        global_request_id: str | None = None,
        endpoint_override: str | None = None,
        region_name: str | None = None,
        interface: str | None = None,
        auth: Any = None,
        service_type: str | None = None,
        service_name: str | None = None,
        **_others: Any,
    ) -> None:
        """Create it from a session, a cloud's name, or an endpoint; AttributeError for none of them."""
        if session is None and cloud is None and endpoint is None:
            raise AttributeError("Constructing a client must contain either an endpoint or a session")
        headers = {
            **(identity_headers or {}),
            **({"Accept-Language": language_header} if language_header else {}),
            **({"X-OpenStack-Request-ID": global_request_id} if global_request_id else {}),
        }
        self._native = Native(
            cloud=cloud,
            session=session,
            adapter={"auth": auth, "service_type": service_type or "image", "service_name": service_name},
            endpoint=endpoint_override or endpoint,
            token=token,
            region_name=region_name,
            interface=interface,
            verify=False if insecure else cacert,
            cert=(cert_file, key_file) if cert_file and key_file else cert_file,
            timeout=None if timeout is None else float(timeout),
            headers=headers,
        )
        self.endpoint_provided = endpoint is not None
        self.version = 2.0
        self.http_client = HTTPClient(self._native.transport, endpoint=endpoint)
        self._make_controllers()

    def _make_controllers(self) -> None:
        http = self.http_client
        self.schemas = schemas.Controller(http)
        self.images = images.Controller(http, self.schemas)
        self.image_tags = image_tags.Controller(http, self.schemas)
        self.image_members = image_members.Controller(http, self.schemas)
        self.info = info.Controller(http, self.schemas)
        self.tasks = tasks.Controller(http, self.schemas)
        self.metadefs_resource_type = metadefs.ResourceTypeController(http, self.schemas)
        self.metadefs_property = metadefs.PropertyController(http, self.schemas)
        self.metadefs_object = metadefs.ObjectController(http, self.schemas)
        self.metadefs_tag = metadefs.TagController(http, self.schemas)
        self.metadefs_namespace = metadefs.NamespaceController(http, self.schemas)
        self.versions = versions.VersionController(http)
        self.cache = cache.Controller(http)
