"""The HTTP clients: for imports and locations, and for the services of the cloud."""

import ssl

from tintype.blobs.web import Web
from tintype.certificates import check_authorities
from tintype.domain.addresses import WebRules, networks
from tintype.domain.proxies import ProxyRules, parse_proxies
from tintype.settings import Settings


def create_web(settings: Settings, rules: WebRules | None = None) -> Web:
    """Create the HTTP client for imports and locations; `rules` replace those in the settings.

    Raises StartError for invalid networks, proxies and certificates.
    """
    chosen = settings.imports
    proxies = parse_proxies(settings.named("imports.proxy"), chosen.proxy.items(), chosen.no_proxy)
    return Web(rules or _web_rules(settings), proxies, trust=_trust(settings, None))


def create_cloud_web(settings: Settings) -> Web:
    """Create the HTTP client for Keystone and the services in its catalogue, which the operator trusts.

    Raises StartError for an invalid proxy or certificates.
    """
    trust = _trust(settings, settings.keystone.cafile)
    return Web(WebRules(anywhere=True), keystone_proxy(settings), trust=trust)


def keystone_proxy(settings: Settings) -> ProxyRules:
    """Return the proxy for requests to Keystone, if there is one."""
    url = settings.keystone.proxy
    return parse_proxies(
        settings.named("keystone.proxy"), () if url is None else (("http", url), ("https", url))
    )


def _web_rules(settings: Settings) -> WebRules:
    chosen = settings.imports
    return WebRules(
        networks(chosen.allowed_networks),
        networks(chosen.denied_networks),
        frozenset(chosen.ports),
        frozenset(chosen.schemes),
    )


def _trust(settings: Settings, instead: str | None) -> ssl.SSLContext:
    """Return the trusted certificates: a cloud's or the system's, and those of `imports.cafile`."""
    beside = settings.imports.cafile
    check_authorities(settings.named("keystone.cafile"), instead)
    check_authorities(settings.named("imports.cafile"), beside)
    context = ssl.create_default_context(cafile=instead)
    if beside is not None:
        context.load_verify_locations(beside)
    return context
