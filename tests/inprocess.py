"""A service in this process, and its four callers.

alice and carol work in project alpha (carol reads only), bob in beta, admin in admin.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import httpx2

from postgres import Cluster
from tintype.blobs.memory import MemoryStore
from tintype.folders import recognise_folders
from tintype.services.cache import Cache
from tintype.settings import DatabaseSettings, LogSettings, Settings
from tintype.wiring import service as wiring
from web import Server as WebServer

PEOPLE = {"alice": ("alpha", "member"), "bob": ("beta", "member"), "carol": ("alpha", "reader")}
PASSWORD = "secret"


@dataclasses.dataclass
class Service:
    """A Tintype in this process, an HTTP client for it, and a token for each caller."""

    parts: wiring.Service
    client: httpx2.AsyncClient
    tokens: dict[str, str]
    projects: dict[str, str]
    folder: Path
    database_url: str | None
    web: WebServer = dataclasses.field(init=False)
    """Where it downloads from, if a fixture starts one."""
    active: str = dataclasses.field(init=False)
    """The path of an image with bytes, if a fixture makes one."""

    def memory(self, store: str) -> MemoryStore:
        """Return the store in memory with this name."""
        found = self.parts.stores[store]
        assert isinstance(found, MemoryStore)
        return found

    @property
    def cache(self) -> Cache:
        """Return its cache of images, if the settings have one."""
        assert self.parts.cache is not None
        return self.parts.cache

    async def call(self, who: str | None, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request as one of the callers."""
        headers = dict(options.pop("headers", None) or {})
        if who is not None:
            headers["X-Auth-Token"] = self.tokens[who]
        return await self.client.request(method, path, headers=headers, **options)


@dataclasses.dataclass
class Prepared:
    """The result of a first start with the four callers. Tests copy it, because hashing passwords is slow."""

    folder: Path
    password: str
    cluster: Cluster | None = None
    """Where the database is, if not in the folder."""
    database: str = ""
    tokens: dict[str, str] = dataclasses.field(default_factory=dict)
    projects: dict[str, str] = dataclasses.field(default_factory=dict)
    _copies: list[str] = dataclasses.field(default_factory=list)

    async def log_everybody_in(self, settings: Settings) -> None:
        """Create the callers and log them in, so that the copies have them and their tokens."""
        parts = wiring.Service(settings)
        try:
            for project in {project for project, _ in PEOPLE.values()}:
                await parts.identity.projects.create(project)
            for name, (project, role) in PEOPLE.items():
                await parts.identity.users.create(name, PASSWORD)
                await parts.identity.roles.grant(name, project, role)
                await self._log_in(parts, name, PASSWORD, project)
            await self._log_in(parts, "admin", self.password, "admin")
        finally:
            await parts.close()

    async def _log_in(self, parts: wiring.Service, name: str, password: str, project: str) -> None:
        token = await parts.identity.login(
            user_id=None, user_name=name, password=password, project={"name": project}, address="test"
        )
        self.tokens[name] = token.value
        self.projects[name] = self.projects[project] = token.caller.project_id or ""

    def copy(self, folder: Path) -> DatabaseSettings:
        """Copy everything; return the address of the copy's database."""
        shutil.copytree(self.folder, folder)
        if self.cluster is None:
            return DatabaseSettings()
        self._copies.append(self.cluster.create(self.database))
        return DatabaseSettings(url=self.cluster.url(self._copies[-1]), connections=4)

    def drop_copies(self) -> None:
        """Delete the databases of copies: hundreds of them would fill a disk."""
        while self.cluster is not None and self._copies:
            self.cluster.drop(self._copies.pop())


def make_settings(folder: Path, **changes: Any) -> Settings:
    """Return settings for a test, with little logging."""
    return Settings(data_dir=folder, log=LogSettings(level="info", style="json"), **changes)


def running(prepared: Prepared, folder: Path, **changes: Any) -> "_Running":
    """Start a service in this process on a copy of the prepared folder."""
    return _Running(prepared, folder / "data", changes)


class _Running:
    def __init__(self, prepared: Prepared, folder: Path, changes: dict[str, Any]) -> None:
        self._prepared = prepared
        self._folder, self._changes = folder, changes

    async def __aenter__(self) -> Service:
        database = self._prepared.copy(self._folder)
        settings = make_settings(self._folder, **{"database": database, **self._changes})
        self._parts = parts = wiring.Service(settings)
        await recognise_folders(parts.database, settings)
        transport = httpx2.ASGITransport(app=parts.app, raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://testserver")
        tokens, projects = dict(self._prepared.tokens), dict(self._prepared.projects)
        return Service(parts, self._client, tokens, projects, self._folder, settings.database.url)

    async def __aexit__(self, *_failure: object) -> None:
        await self._client.aclose()
        await self._parts.close()
