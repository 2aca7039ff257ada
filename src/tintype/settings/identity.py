"""Settings of authentication and authorization."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tintype.settings import forms


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The built-in identity."""

    token_lifetime: Annotated[int, Meta(ge=60, description="Seconds after which a token expires.")] = (
        12 * 3600
    )
    region: Annotated[str, Meta(min_length=1, description="Region named in the service catalogue.")] = (
        "RegionOne"
    )
    login_queue: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of log-ins and other requests with passwords that wait for a core, "
            "in each server process; excess requests get 429. Client addresses take turns.",
        ),
    ] = 256
    login_queue_per_address: Annotated[
        int,
        Meta(ge=1, description="Maximum number of them from one address, or one IPv6 /64 network."),
    ] = 32
    application_credentials: Annotated[
        int, Meta(ge=0, description="Maximum number of a user's application credentials.")
    ] = 100


class KeystoneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cloud's Keystone, instead of the built-in identity."""

    auth_url: Annotated[
        str | None,
        Meta(
            description="URL of Keystone. If set, only Keystone's tokens are accepted.",
            extra={"form": forms.URL},
        ),
    ] = None
    public_url: Annotated[
        str | None,
        Meta(description="URL of Keystone for clients; by default, auth_url.", extra={"form": forms.URL}),
    ] = None
    username: Annotated[str, Meta(description="The service's user, which validates tokens.")] = "glance"
    password: Annotated[
        str,
        Meta(description="Password of the user; preferably set in the environment.", extra={"secret": True}),
    ] = ""
    project_name: Annotated[str, Meta(description="The service's own project.")] = "service"
    user_domain_name: Annotated[str, Meta(description="Domain of the user.")] = "Default"
    project_domain_name: Annotated[str, Meta(description="Domain of the project.")] = "Default"
    cafile: Annotated[str | None, Meta(description="Certificates to trust, instead of the system's.")] = None
    proxy: Annotated[
        str | None,
        Meta(
            description="HTTP proxy for requests to Keystone and to image services of other regions, such "
            "as http://proxy.example.org:3128. HTTP_PROXY and similar variables are ignored."
        ),
    ] = None
    endpoint_id: Annotated[
        str | None,
        Meta(description="ID of this endpoint in Keystone. If set, quotas are Keystone's unified limits."),
    ] = None
    timeout: Annotated[int, Meta(ge=1, description="Seconds to wait for a response.")] = 10
    cache_seconds: Annotated[
        int,
        Meta(
            ge=0,
            description=(
                "Seconds for which a validated token is trusted; a revoked token stays valid up to this "
                "long, and up to 5 seconds longer while Keystone is slow. 0 validates every request."
            ),
        ),
    ] = 60
    cached_tokens: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of valid tokens, and a tenth as many invalid ones, that each server "
            "process caches.",
        ),
    ] = 10_000
    concurrent_tokens: Annotated[
        int, Meta(ge=1, description="Maximum number of tokens that each server process validates at once.")
    ] = 8
    token_queue: Annotated[
        int, Meta(ge=1, description="Maximum number of tokens that wait; excess requests get 429.")
    ] = 1024
    token_queue_per_address: Annotated[
        int,
        Meta(ge=1, description="Maximum number of waiting tokens from one address, or one IPv6 /64 network."),
    ] = 128
    concurrent_logins: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum number of the dashboard's log-ins and look-ups of projects that each server "
            "process requests at once.",
        ),
    ] = 4
    login_queue: Annotated[
        int,
        Meta(ge=1, description="Maximum number of waiting log-ins and look-ups; excess requests get 429."),
    ] = 256
    login_queue_per_address: Annotated[
        int,
        Meta(ge=1, description="Maximum number of waiting log-ins and look-ups from one address or user."),
    ] = 32
    service_roles: Annotated[
        tuple[str, ...], Meta(description="Roles of services that may act for users (X-Service-Token).")
    ] = ("service",)


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Policy."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description="File of rules that override the defaults, relative to `data_dir`; optional.",
        ),
    ] = "policy.yaml"
    property_file: Annotated[
        str | None,
        Meta(description="Glance's file of property protections; a relative path starts at `data_dir`."),
    ] = None
    property_rules: Annotated[
        Literal["roles", "policies"], Meta(description="Whether that file contains roles or policy rules.")
    ] = "roles"
