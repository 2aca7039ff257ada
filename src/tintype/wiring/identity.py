"""Authentication: the built-in identity, or a cloud's Keystone."""

from typing import TYPE_CHECKING

import structlog

from tintype.auth.base import Logins
from tintype.certificates import check_authorities
from tintype.db.engine import Database
from tintype.domain.turns import Bounds
from tintype.errors import StartError
from tintype.extras import missing
from tintype.policy.engine import Policy
from tintype.services.identity import Identity
from tintype.services.passwords import Hasher, Passwords
from tintype.services.tokens import Tokens
from tintype.settings import KeystoneSettings, Settings
from tintype.wiring.web import keystone_proxy

if TYPE_CHECKING:
    from keystoneauth1.session import Session

    from tintype.auth.keystone import KeystoneAuthenticator
    from tintype.auth.keystone_calls import KeystoneCalls


def create_identity(settings: Settings, database: Database, policy: Policy) -> Identity:
    """Create the built-in identity; the policy determines who is an admin."""
    chosen, quota = settings.identity, settings.quotas
    tokens = Tokens(database, policy.resolve_admin, lifetime=chosen.token_lifetime, quota=quota)
    passwords = Passwords(
        database,
        Hasher(settings.data_dir),
        waiting=chosen.login_queue,
        waiting_of_one=chosen.login_queue_per_address,
    )
    return Identity(
        database, tokens, passwords, quota=quota, application_credentials=chosen.application_credentials
    )


def open_keystone_session(settings: Settings) -> "Session":
    """Open the session for requests to Keystone; nothing is sent yet.

    Raises StartError for settings that cannot work.
    """
    try:
        from tintype.auth.keystone import keep_connections, open_session, set_proxies
    except ImportError as error:
        raise missing("Keystone", "keystone", error) from None
    chosen = settings.keystone
    if not chosen.password:
        raise StartError(
            f"The password of Keystone's user '{chosen.username}' is missing: set TINTYPE_KEYSTONE_PASSWORD."
        )
    check_authorities(settings.named("keystone.cafile"), chosen.cafile)
    session = open_session(
        auth_url=chosen.auth_url or "",
        username=chosen.username,
        password=chosen.password,
        project_name=chosen.project_name,
        user_domain_name=chosen.user_domain_name,
        project_domain_name=chosen.project_domain_name,
        cafile=chosen.cafile,
        timeout=chosen.timeout,
    )
    keep_connections(session, chosen.concurrent_tokens + chosen.concurrent_logins + 1)  # and the probe's
    set_proxies(session, keystone_proxy(settings))
    return session


def keystone_calls(
    chosen: KeystoneSettings, session: "Session", log: structlog.typing.FilteringBoundLogger
) -> "KeystoneCalls":
    """Create what runs the calls to Keystone, within the bounds of the settings."""
    from tintype.auth.keystone_calls import CallBounds, KeystoneCalls

    tokens = Bounds(chosen.token_queue_per_address, chosen.token_queue)
    logins = Bounds(chosen.login_queue_per_address, chosen.login_queue)
    return KeystoneCalls(
        session,
        chosen.auth_url or "",
        log,
        tokens=CallBounds(chosen.concurrent_tokens, tokens),
        logins=CallBounds(chosen.concurrent_logins, logins),
    )


def create_keystone(
    settings: Settings, session: "Session", policy: Policy, log: structlog.typing.FilteringBoundLogger
) -> tuple["KeystoneAuthenticator", Logins]:
    """Create the authenticator for tokens of a cloud's Keystone, and the log-in with it."""
    from tintype.auth.keystone import KeystoneAuthenticator
    from tintype.auth.keystone_calls import v3_url
    from tintype.auth.keystone_logins import KeystoneLogins
    from tintype.auth.limits import UnifiedLimits

    chosen, auth_url = settings.keystone, settings.keystone.auth_url or ""
    limits = None
    if chosen.endpoint_id is not None:
        url = v3_url(auth_url)
        limits = UnifiedLimits(session, url, chosen.endpoint_id, cache_seconds=chosen.cache_seconds)
    authenticator = KeystoneAuthenticator(
        keystone_calls(chosen, session, log),
        policy,
        log,
        cache_seconds=chosen.cache_seconds,
        cached_tokens=chosen.cached_tokens,
        service_roles=chosen.service_roles,
        quota=settings.quotas,
        limits=limits,
    )
    return authenticator, KeystoneLogins(session, auth_url, authenticator)
