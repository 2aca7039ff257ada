"""What the settings name, opened: the database, the rules, Keystone, the stores."""

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from tintype.auth.base import Logins
from tintype.blobs.base import BlobStore
from tintype.blobs.filesystem import FilesystemStore
from tintype.blobs.http import HttpStore
from tintype.blobs.memory import MemoryStore
from tintype.blobs.web import Web
from tintype.certificates import check_authorities
from tintype.db.engine import Database, SQLite
from tintype.domain import property_schema
from tintype.domain.addresses import WebRules, networks
from tintype.domain.images import BASE_ATTRIBUTES
from tintype.domain.property_schema import PropertySchema
from tintype.domain.proxies import ProxyRules, parse_proxies
from tintype.domain.stores import StoreInfo
from tintype.errors import StartError
from tintype.extras import missing
from tintype.formats import every_check
from tintype.jobs.regions import KeystoneRegions, OwnRegion, Regions
from tintype.observability.logs import make_logger
from tintype.plugins.base import Plugin, others
from tintype.plugins.convert import Convert
from tintype.plugins.decompress import Decompress
from tintype.plugins.inject import Inject
from tintype.policy.engine import Policy, read_rules, unused
from tintype.policy.properties import Protections, read_protections
from tintype.policy.rules import DEFAULTS, SERVED
from tintype.services.copies import Copies
from tintype.services.hashing import Hasher
from tintype.services.identity import Identity
from tintype.services.passwords import Passwords
from tintype.settings import DATABASE, ImageSettings, PolicySettings, Settings
from tintype.settings import stores as kinds
from tintype.settings.stores import StoreSettings

if TYPE_CHECKING:
    from tintype.auth.keystone import KeystoneAuthenticator


def database_url(settings: Settings) -> str:
    """Return the address of the database."""
    return settings.database.url or f"sqlite:///{settings.data_dir / DATABASE}"


def open_database(settings: Settings) -> Database:
    """Give the database of the settings; its driver is imported only where it is needed."""
    if settings.database.url is None:
        return SQLite(settings.data_dir / DATABASE)
    try:
        from tintype.db.postgres import Postgres
    except ImportError as error:
        raise missing("PostgreSQL", "postgres", error) from None
    return Postgres(settings.database.url, connections=settings.database.connections)


def open_identity(settings: Settings, database: Database, policy: Policy) -> Identity:
    """Return the built-in identity; the policy decides who is admin."""
    chosen = settings.identity
    passwords = Passwords(
        database,
        Hasher(settings.data_dir),
        waiting=chosen.login_queue,
        waiting_of_one=chosen.login_queue_per_address,
    )
    return Identity(
        database,
        policy.judged,
        passwords,
        token_lifetime=chosen.token_lifetime,
        quota=settings.quotas,
        application_credentials=chosen.application_credentials,
    )


def open_policy(settings: Settings) -> Policy:
    """Give the rules: the defaults, and what the operator's file says instead."""
    path = settings.data_dir / settings.policy.file
    try:
        rules = read_rules(path.read_text(encoding="utf-8"), str(path))
        for name in unused(rules, SERVED):
            make_logger(settings.log.style).warning("policy rule has no use here", rule=name, file=str(path))
        return compile_policy(rules, str(path))
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and settings.policy.file == PolicySettings().file:
            return Policy(DEFAULTS)
        raise StartError(f"{settings.named('policy.file')}: cannot read {path}: {error}.") from None


def open_property_schema(settings: Settings) -> PropertySchema | None:
    """Return the operator's schema of image properties, if there is one."""
    chosen = settings.images.schema_file
    path = settings.data_dir / chosen
    try:
        return property_schema.read(path.read_text(encoding="utf-8"), BASE_ATTRIBUTES)
    except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        if isinstance(error, FileNotFoundError) and chosen == ImageSettings().schema_file:
            return None
        raise StartError(f"{settings.named('images.schema_file')}: cannot use {path}: {error}.") from None


def compile_policy(rules: Mapping[str, Any], origin: str) -> Policy:
    """Return the defaults with an operator's rules over them; raises StartError that names their file."""
    try:
        return Policy({**DEFAULTS, **rules})
    except StartError as error:
        raise StartError(f"{origin}: {error.message}") from None


def open_protections(settings: Settings, policy: Policy) -> Protections | None:
    """Give the property protections, if there are any."""
    if settings.policy.property_file is None:
        return None
    path = settings.data_dir / settings.policy.property_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{settings.named('policy.property_file')}: cannot read {path}: {error}.") from None
    by_rule = settings.policy.property_rules == "policies"
    return read_protections(text, str(path), policy if by_rule else None)


def open_keystone(
    settings: Settings, policy: Policy, log: structlog.typing.FilteringBoundLogger
) -> tuple["KeystoneAuthenticator", Logins]:
    """Give who knows the callers of a cloud's Keystone, and who lets people log in there."""
    try:
        from tintype.auth.keystone import KeystoneAuthenticator, open_session, set_proxies
        from tintype.auth.keystone_calls import version_3
        from tintype.auth.keystone_logins import KeystoneLogins
        from tintype.auth.limits import UnifiedLimits
    except ImportError as error:
        raise missing("Keystone", "keystone", error) from None
    chosen = settings.keystone
    if not chosen.password:
        raise StartError(
            f"The password of Keystone's user '{chosen.username}' is missing: set TINTYPE_KEYSTONE_PASSWORD."
        )
    check_authorities(settings.named("keystone.cafile"), chosen.cafile)
    auth_url = chosen.auth_url or ""
    session = open_session(
        auth_url=auth_url,
        username=chosen.username,
        password=chosen.password,
        project_name=chosen.project_name,
        user_domain_name=chosen.user_domain_name,
        project_domain_name=chosen.project_domain_name,
        cafile=chosen.cafile,
        timeout=chosen.timeout,
    )
    set_proxies(session, _keystone_proxy(settings))
    limits = None
    if chosen.endpoint_id is not None:
        url = version_3(auth_url)
        limits = UnifiedLimits(session, url, chosen.endpoint_id, cache_seconds=chosen.cache_seconds)
    authenticator = KeystoneAuthenticator(
        session,
        auth_url,
        policy,
        log,
        cache_seconds=chosen.cache_seconds,
        service_roles=chosen.service_roles,
        quota=settings.quotas,
        limits=limits,
    )
    return authenticator, KeystoneLogins(session, auth_url, authenticator)


def store_infos(settings: Settings) -> dict[str, StoreInfo]:
    """Give what is known of the stores by name, the default one first; raises StartError for two of them."""
    infos = {
        name: StoreInfo(
            name,
            str(chosen.__struct_config__.tag),
            chosen.description,
            chosen.weight,
            read_only=isinstance(chosen, kinds.HttpStore),
        )
        for name, chosen in settings.stores.items()
    }
    wished = [name for name, chosen in settings.stores.items() if chosen.default]
    if len(wished) > 1 or any(infos[name].read_only for name in wished):
        raise StartError(f"One store is the default one, and can be written to; not: {', '.join(wished)}.")
    first = next((name for name, info in infos.items() if not info.read_only), next(iter(infos)))
    default = (wished or [first])[0]
    infos[default] = msgspec.structs.replace(infos[default], default=True)
    return {name: infos[name] for name in (default, *(name for name in infos if name != default))}


def open_stores(settings: Settings) -> dict[str, BlobStore]:
    """Give the stores by name, the default one first; what only some need is imported for them alone."""
    return {name: open_store(name, settings.stores[name], settings) for name in store_infos(settings)}


def web_rules(settings: Settings) -> WebRules:
    """Give where on the web downloads may come from."""
    chosen = settings.imports
    return WebRules(
        networks(chosen.allowed_networks),
        networks(chosen.denied_networks),
        frozenset(chosen.ports),
        frozenset(chosen.schemes),
    )


def open_web(settings: Settings, rules: WebRules | None = None) -> Web:
    """Return the way to the web of imports and locations; `rules` in place of those in the settings."""
    chosen = settings.imports
    proxies = parse_proxies(settings.named("imports.proxy"), chosen.proxy.items(), chosen.no_proxy)
    return Web(rules or web_rules(settings), proxies, trust=_trust(settings, None))


def _open_cloud(settings: Settings) -> Web:
    """Return the way to Keystone and the services in its catalogue, which an operator trusts."""
    trust = _trust(settings, settings.keystone.cafile)
    return Web(WebRules(anywhere=True), _keystone_proxy(settings), trust=trust)


def _keystone_proxy(settings: Settings) -> ProxyRules:
    url = settings.keystone.proxy
    return parse_proxies(
        settings.named("keystone.proxy"), () if url is None else (("http", url), ("https", url))
    )


def check_web(settings: Settings) -> None:
    """Refuse networks, proxies and certificates that make no sense: raises StartError."""
    open_web(settings)
    _open_cloud(settings)


def open_plugins(settings: Settings) -> list[Plugin]:
    """Give the plugins of imports, in their order; raises StartError for one that is not there, or twice."""
    if len(set(settings.imports.plugins)) < len(settings.imports.plugins):
        raise StartError(f"{settings.named('imports.plugins')}: a plugin is named twice.")
    try:
        return [_plugin(name, settings) for name in settings.imports.plugins]
    except StartError as error:
        raise StartError(f"{settings.named('imports.plugins')}: {error.message}") from None


def open_regions(settings: Settings, database: Database, policy: Policy, copies: Copies) -> Regions:
    """Give where images of other regions are had from: by the catalogue of the identity service."""
    chosen = settings.imports
    if settings.keystone.auth_url is None:
        return OwnRegion(database, policy, copies, settings.identity.region, chosen.min_source_rate)
    return KeystoneRegions(
        settings.keystone.auth_url,
        _open_cloud(settings),
        limit=settings.images.size_limit,
        seconds=chosen.seconds,
        min_rate=chosen.min_source_rate,
    )


def tolerated(settings: Settings) -> frozenset[str]:
    """Give the format checks that only write to the log; raises StartError for one that there is not."""
    names = settings.images.tolerated_format_checks
    known = every_check()
    unknown = sorted(set(names) - known - {"all"})
    if unknown:
        setting = settings.named("images.tolerated_format_checks")
        raise StartError(
            f"{setting}: there is no format check '{unknown[0]}'. There are: {', '.join(sorted(known))}."
        )
    return known if "all" in names else frozenset(names)


def _trust(settings: Settings, instead: str | None) -> ssl.SSLContext:
    """Return what is trusted: a cloud's certificates or the system's, and those of `imports.cafile`."""
    beside = settings.imports.cafile
    check_authorities(settings.named("keystone.cafile"), instead)
    check_authorities(settings.named("imports.cafile"), beside)
    context = ssl.create_default_context(cafile=instead)
    if beside is not None:
        context.load_verify_locations(beside)
    return context


def _plugin(name: str, settings: Settings) -> Plugin:
    chosen, limit = settings.imports, settings.images.size_limit
    match name:
        case "inject":
            return Inject(chosen.inject_properties, frozenset(chosen.inject_ignored_roles))
        case "decompress":
            return Decompress(limit, chosen.decompression_ratio)
        case "convert":
            return Convert(chosen.convert_to, limit=limit, seconds=chosen.convert_seconds)
        case _:
            return others(name)


def open_store(name: str, chosen: StoreSettings, settings: Settings) -> BlobStore:
    """Return a store; raises StartError where its settings can never work."""
    try:
        return _open_store(name, chosen, settings)
    except ImportError as error:
        raise missing(f"The store '{name}'", "objects", error) from None
    except ValueError as error:
        where = settings.named(f"stores.{name}")
        raise StartError(f"Cannot open the store '{name}', {where}: {error}.") from None


def _open_store(name: str, chosen: StoreSettings, settings: Settings) -> BlobStore:
    match chosen:
        case kinds.FileStore():
            folder = settings.data_dir / chosen.folder
            return FilesystemStore(name, folder, reserve=chosen.reserve, accel_redirect=chosen.accel_redirect)
        case kinds.S3Store():
            from tintype.blobs.s3 import S3Store

            return S3Store(name, **own_settings(chosen))
        case kinds.GoogleStore() | kinds.AzureStore():
            from tintype.blobs import objects

            make = objects.google if isinstance(chosen, kinds.GoogleStore) else objects.azure
            return make(name, **own_settings(chosen))
        case kinds.RbdStore():
            from tintype.blobs.rbd import RbdStore

            return RbdStore(name, **own_settings(chosen))
        case kinds.HttpStore():
            rules = None if chosen.url is None else WebRules(anywhere=True)
            return HttpStore(name, chosen.url, open_web(settings, rules))
        case kinds.MemoryStore():
            return MemoryStore(name, chosen.limit)


def own_settings(chosen: StoreSettings) -> dict[str, Any]:
    """Give the settings of a store that only its kind has."""
    common = kinds.Store.__struct_fields__
    return {name: value for name, value in msgspec.structs.asdict(chosen).items() if name not in common}
