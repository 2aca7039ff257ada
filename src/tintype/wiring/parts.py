"""The parts of a service, except background work and HTTP handlers."""

import socket
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Self

import structlog

from tintype.api.throttle import Throttle
from tintype.auth.base import Authenticator, Logins
from tintype.auth.builtin import BuiltinLogins
from tintype.blobs.base import BlobStore
from tintype.blobs.cache import ChunkFiles
from tintype.blobs.web import Web
from tintype.db.engine import Database
from tintype.domain.images import Limits
from tintype.domain.property_schema import PropertySchema
from tintype.domain.stores import StoreInfo
from tintype.observability.logs import make_logger, set_level
from tintype.observability.metrics import Metrics
from tintype.plugins.base import Plugin
from tintype.policy.engine import Policy
from tintype.policy.properties import Protections
from tintype.services.access import ImageAccess
from tintype.services.cache import Cache
from tintype.services.copies import Copies
from tintype.services.data import ImageData
from tintype.services.health import Health
from tintype.services.identity import Identity
from tintype.services.images import Images
from tintype.services.imports import Imports
from tintype.services.info import Info
from tintype.services.ingest import Ingest
from tintype.services.locations import Locations
from tintype.services.members import Members
from tintype.services.metadefs import Metadefs
from tintype.services.property_checks import PropertyCheck
from tintype.services.queue import JobQueue
from tintype.services.quotas import Slots
from tintype.services.rights import Rights
from tintype.services.signatures import Signatures
from tintype.services.upkeep import Upkeep
from tintype.services.uploads import Uploads
from tintype.services.wakeups import Wakeup
from tintype.settings import Settings
from tintype.wiring.database import open_database
from tintype.wiring.identity import create_identity, create_keystone, open_keystone_session
from tintype.wiring.plugins import create_plugins, create_tolerated_checks
from tintype.wiring.policy import create_policy, create_property_schema, create_protections
from tintype.wiring.stores import create_store_infos, open_store
from tintype.wiring.web import create_cloud_web, create_web

if TYPE_CHECKING:
    from keystoneauth1.session import Session


class Parts:
    """The parts of the service for some settings. Each is created once, when it is first used.

    What needs connections belongs to the event loop in which it is first used: the database, the stores and
    the ways to the web. Everything else may be made before, and serve several loops.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stores: dict[str, BlobStore] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[Settings]]:
        """Pickle only the settings: another process creates its own parts."""
        return type(self), (self.settings,)

    async def close(self) -> None:
        """Close the parts that have been opened."""
        made = vars(self)
        if "identification" in made:
            await self.authenticator.close()
        for part in (made.get("web"), made.get("cloud_web"), *self._stores.values(), made.get("database")):
            if part is not None:
                await part.close()

    # Parts that the settings describe.

    @cached_property
    def log(self) -> structlog.typing.FilteringBoundLogger:
        """The logger; creating it sets the log level of this process."""
        set_level(self.settings.log.level)
        return make_logger(self.settings.log.style)

    @cached_property
    def database(self) -> Database:
        """The database; it is opened for one event loop."""
        return open_database(self.settings)

    @cached_property
    def policy(self) -> Policy:
        """The policy rules."""
        return create_policy(self.settings, self.log)

    @cached_property
    def protections(self) -> Protections | None:
        """The property protections, if there are any."""
        return create_protections(self.settings, self.policy)

    @cached_property
    def property_schema(self) -> PropertySchema | None:
        """The operator's schema of image properties, if there is one."""
        return create_property_schema(self.settings)

    @cached_property
    def limits(self) -> Limits:
        """The limits for the rules of images."""
        return self.settings.images.limits(self.property_schema)

    @cached_property
    def tolerated_checks(self) -> frozenset[str]:
        """The format checks that only write to the log."""
        return create_tolerated_checks(self.settings)

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The plugins of imports, in their order."""
        return create_plugins(self.settings)

    @cached_property
    def web(self) -> Web:
        """The HTTP client for imports and locations."""
        return create_web(self.settings)

    @cached_property
    def cloud_web(self) -> Web:
        """The HTTP client for Keystone and the services in its catalogue."""
        return create_cloud_web(self.settings)

    @cached_property
    def store_infos(self) -> dict[str, StoreInfo]:
        """Information about the stores by name, the default one first."""
        return create_store_infos(self.settings)

    def store(self, name: str) -> BlobStore:
        """Return a store, which is opened on first use."""
        if name not in self._stores:
            self._stores[name] = open_store(name, self.settings)
        return self._stores[name]

    @cached_property
    def stores(self) -> Mapping[str, BlobStore]:
        """The stores by name, the default one first."""
        return {name: self.store(name) for name in self.store_infos}

    # Authentication.

    @cached_property
    def identity(self) -> Identity:
        """The built-in identity."""
        return create_identity(self.settings, self.database, self.policy)

    @cached_property
    def keystone_session(self) -> "Session":
        """The session for requests to Keystone."""
        return open_keystone_session(self.settings)

    @cached_property
    def identification(self) -> tuple[Authenticator, Logins]:
        """The authenticator, and the log-in of users."""
        if self.settings.keystone.auth_url is not None:
            return create_keystone(self.settings, self.keystone_session, self.policy, self.log)
        return self.identity.tokens, BuiltinLogins(self.identity)

    @property
    def authenticator(self) -> Authenticator:
        """The authenticator."""
        return self.identification[0]

    @property
    def logins(self) -> Logins:
        """The log-in of users."""
        return self.identification[1]

    # The use cases.

    @cached_property
    def copies(self) -> Copies:
        """Reads images from the stores that have them."""
        return Copies(self.stores, self.store_infos)

    @cached_property
    def access(self) -> ImageAccess:
        """Loads images for callers, and authorizes what they do with them."""
        return ImageAccess(self.database, self.policy)

    @cached_property
    def images(self) -> Images:
        """The use cases of images."""
        return Images(
            self.database,
            self.access,
            self.protections,
            self.limits,
            self.copies,
            self.property_check,
            self.blobs_condemned,
            self.locations.shown if self.settings.locations.are_shown else None,
        )

    @cached_property
    def rights(self) -> Rights:
        """Reports what callers may do."""
        return Rights(self.policy, self.protections)

    @cached_property
    def signatures(self) -> Signatures:
        """Verifies the signatures of images."""
        return Signatures(self.log, ignored=self.settings.images.signatures == "ignore")

    @cached_property
    def ingest(self) -> Ingest:
        """The ingest engine."""
        return Ingest(
            self.database,
            self.limits,
            self.stores,
            algorithm=self.settings.images.hash_algorithm,
            tolerated=self.tolerated_checks,
            adopts=not self.settings.imports.plugins,
            signatures=self.signatures,
            log=self.log,
        )

    @cached_property
    def upload_slots(self) -> Slots:
        """Limits the concurrent uploads of each project."""
        return Slots(self.settings.images.parallel_uploads, "uploads")

    @cached_property
    def data(self) -> ImageData:
        """Uploads and stages bytes."""
        return ImageData(self.database, self.access, self.ingest, self.upload_slots)

    @cached_property
    def uploads(self) -> Uploads:
        """Resumable uploads."""
        return Uploads(
            self.database,
            self.access,
            self.ingest,
            lifetime=self.settings.images.upload_lifetime * 1_000_000,
            open_limit=self.settings.images.open_uploads,
            open_limit_of_image=self.settings.images.open_uploads_per_image,
        )

    @cached_property
    def cache(self) -> Cache | None:
        """The cache in front of slow stores, if there is one."""
        chosen = self.settings.cache
        if chosen.folder is None:
            return None
        files, node = ChunkFiles(self.settings.data_dir / chosen.folder), chosen.node or socket.gethostname()
        return Cache(self.database, self.copies, files, self.log, node=node, limit=chosen.limit)

    @cached_property
    def jobs_added(self) -> Wakeup:
        """Wakes the worker of this process."""
        return Wakeup()

    @cached_property
    def blobs_condemned(self) -> Wakeup:
        """Wakes the sweeper of this process."""
        return Wakeup()

    @cached_property
    def queue(self) -> JobQueue:
        """The queue of jobs."""
        return JobQueue(self.database, self.settings.jobs.waiting_per_project, self.jobs_added)

    @cached_property
    def locations(self) -> Locations:
        """The locations of images: data that exists elsewhere."""
        return Locations(
            self.database,
            self.access,
            self.stores,
            self.copies,
            self.signatures,
            self.queue,
            self.blobs_condemned,
            most=self.settings.images.location_limit,
        )

    @cached_property
    def imports(self) -> Imports:
        """Imports of image data."""
        return Imports(
            self.database,
            self.access,
            self.store_infos,
            self.web,
            self.images,
            self.signatures,
            self.queue,
            methods=self.settings.imports.methods,
        )

    @cached_property
    def members(self) -> Members:
        """The members of images."""
        return Members(self.database, self.access, self.limits)

    @cached_property
    def metadefs(self) -> Metadefs:
        """Metadata definitions."""
        chosen = self.settings.metadefs
        return Metadefs(self.database, self.policy, most=chosen.namespaces, most_bytes=chosen.namespace_bytes)

    @cached_property
    def property_check(self) -> PropertyCheck | None:
        """Checks properties against the metadata definitions, if that is enabled."""
        wanted = self.settings.images.property_check
        return None if wanted == "off" else PropertyCheck(self.database, refuse=wanted == "refuse")

    @cached_property
    def info(self) -> Info:
        """Information about the service's capabilities."""
        return Info(self.database, self.policy, self.stores, self.store_infos)

    @cached_property
    def upkeep(self) -> Upkeep:
        """Collects garbage, and verifies stored bytes."""
        return Upkeep(self.database, self.ingest)

    @cached_property
    def metrics(self) -> Metrics:
        """The metrics of this process."""
        return Metrics()

    @cached_property
    def health(self) -> Health:
        """Whether each part works."""
        return Health(self.database, self.stores, self.authenticator.check)

    @cached_property
    def throttle(self) -> Throttle | None:
        """Limits the rate of requests of a project, if that is enabled."""
        server = self.settings.server
        return Throttle(server.rate_limit, server.rate_burst) if server.rate_limit else None
