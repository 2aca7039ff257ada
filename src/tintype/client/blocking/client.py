# Made by `make docs` of ../aio; do not edit.
"""The client: one service, one caller, its operations by noun."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar

from tintype.client import clouds, errors, identity
from tintype.client.blocking import projects
from tintype.client.blocking.binding import Group, listing, operation
from tintype.client.blocking.images import Images
from tintype.client.blocking.transport import Transport
from tintype.client.operations import (
    cache,
    info,
    locations,
    members,
    metadefs,
    stores,
    tags,
    tasks,
)
from tintype.client.operations import uploads as upload_operations
from tintype.client.requests import Listing, Request

T = TypeVar("T")


class Client:
    """A client for an image service: a Tintype or any Glance. Use it as a context manager, or close it.

    Groups: `images`, `members`, `tags`, `tasks`, `stores`, `locations`, `uploads`, `cache`, `metadefs`,
    `info`.
    Every call raises an `errors.HTTPError` with `code`, `message` and `request_id` if the server refuses
    it, and `errors.CommunicationError` if the server cannot be reached.
    """

    def __init__(  # noqa: PLR0913  the ways to choose an identity and a service
        self,
        *,
        cloud: str | None = None,
        session: Any = None,
        adapter: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
        token: str | None = None,
        region_name: str | None = None,
        interface: str | None = None,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        timeout: float | None = None,
        attempts: int = 5,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Create a client from a cloud's name, a keystoneauth `session`, or an `endpoint` with a `token`.

        Without any of these, the environment is used (`OS_CLOUD`, `OS_AUTH_URL` …). `adapter` has options
        for a session: `auth` (another plugin), `service_type`, `service_name`. `verify` is False or a file
        of CA certificates. `timeout` is the longest wait for a byte, in seconds, by default the cloud's
        `api_timeout`, else 600. `attempts` limits how often a request is sent if repeating it is safe.
        `headers` are added to each request. Raises InvalidEndpoint.
        """
        if session is not None:
            selection = {"region_name": region_name, "interface": interface, **(adapter or {})}
            who: identity.Identity = identity.Session(session, endpoint=endpoint, **selection)
            found = clouds.Cloud(who, getattr(session, "verify", True), getattr(session, "cert", None))
        elif endpoint is not None and cloud is None and (token or not clouds.is_named(os.environ)):
            found = clouds.at(endpoint, token, os.environ)
        elif token is not None:
            raise errors.InvalidEndpoint("A token needs an endpoint, and cannot be combined with a cloud.")
        else:
            chosen = {"region_name": region_name, "interface": interface, "image_endpoint_override": endpoint}
            found = clouds.find(cloud, os.environ, **chosen)
        self.transport = Transport(
            found.identity,
            verify=found.verify if verify is None else verify,
            cert=cert or found.cert,
            timeout=timeout or found.timeout or 600.0,
            attempts=attempts,
            headers=headers,
        )
        self._make_groups()

    def _make_groups(self) -> None:
        self.images = Images(self.transport)
        self.members = Members(self.transport)
        self.tags = Tags(self.transport)
        self.tasks = Tasks(self.transport)
        self.stores = Stores(self.transport)
        self.locations = Locations(self.transport)
        self.uploads = Uploads(self.transport)
        self.cache = Cache(self.transport)
        self.metadefs = Metadefs(self.transport)
        self.info = Info(self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_why: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def send(self, request: Request[T]) -> T:
        """Send a request of `operations` and return its result."""
        return self.transport.send(request)

    def each(self, listing: Listing[T]) -> Iterator[T]:
        """Iterate over all pages of a list of `operations`."""
        return self.transport.each(listing)

    def project_id(self) -> str | None:
        """Return the id of the caller's project; None if it is not known."""
        return (self.transport.access()).project_id


class Members(Group):
    """Projects that images are shared with."""

    _sender: Transport

    list = operation(members.list_)
    get = operation(members.get)
    create = operation(members.create)
    update = operation(members.update)
    delete = operation(members.delete)

    def find_project(self, name_or_id: str) -> str:
        """Return the id of a project, given by id or name; members and owners of images are project ids.

        Asks the identity service with the caller's token. Raises NotFound, Conflict if several projects
        have the name, and Forbidden if the caller may not look up names; ids are not checked then.
        """
        return projects.find(self._sender, name_or_id)


class Tags(Group):
    """Tags of images."""

    add = operation(tags.add)
    remove = operation(tags.remove)


class Tasks(Group):
    """Tasks: background work on the server."""

    list = listing(tasks.list_)
    get = operation(tasks.get)
    create = operation(tasks.create)
    cancel = operation(tasks.cancel)


class Stores(Group):
    """Stores of image data."""

    list = operation(stores.list_)
    list_detailed = operation(stores.list_detailed)
    delete_copy = operation(stores.delete_copy)


class Locations(Group):
    """Locations of image data."""

    list = operation(locations.list_)
    add = operation(locations.add)


class Uploads(Group):
    """Resumable uploads, step by step; `images.upload` does all steps."""

    list = operation(upload_operations.list_)
    create = operation(upload_operations.create)
    offset = operation(upload_operations.offset)
    delete = operation(upload_operations.delete)


class Cache(Group):
    """The cache of a node."""

    show = operation(cache.show)
    queue = operation(cache.queue)
    delete = operation(cache.delete)
    clear = operation(cache.clear)
    clean = operation(cache.clean)
    prune = operation(cache.prune)
    nodes = operation(cache.nodes)


class Info(Group):
    """The server's versions, schemas and usage."""

    versions = operation(info.versions)
    schema = operation(info.schema)
    usage = operation(info.usage)


class Metadefs(Group):
    """Metadata definitions."""

    list_namespaces = listing(metadefs.list_namespaces)
    get_namespace = operation(metadefs.get_namespace)
    create_namespace = operation(metadefs.create_namespace)
    update_namespace = operation(metadefs.update_namespace)
    delete_namespace = operation(metadefs.delete_namespace)
    list_properties = operation(metadefs.list_properties)
    get_property = operation(metadefs.get_property)
    create_property = operation(metadefs.create_property)
    update_property = operation(metadefs.update_property)
    delete_property = operation(metadefs.delete_property)
    delete_properties = operation(metadefs.delete_properties)
    list_objects = operation(metadefs.list_objects)
    get_object = operation(metadefs.get_object)
    create_object = operation(metadefs.create_object)
    update_object = operation(metadefs.update_object)
    delete_object = operation(metadefs.delete_object)
    delete_objects = operation(metadefs.delete_objects)
    list_tags = operation(metadefs.list_tags)
    get_tag = operation(metadefs.get_tag)
    create_tag = operation(metadefs.create_tag)
    create_tags = operation(metadefs.create_tags)
    update_tag = operation(metadefs.update_tag)
    delete_tag = operation(metadefs.delete_tag)
    delete_tags = operation(metadefs.delete_tags)
    list_resource_types = operation(metadefs.list_resource_types)
    list_associations = operation(metadefs.list_associations)
    associate = operation(metadefs.associate)
    dissociate = operation(metadefs.dissociate)
