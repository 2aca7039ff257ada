"""Settings of who is calling and who may do what."""

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
            description="Log-ins and other requests with passwords that may wait for a core, in each server "
            "process; others get 429. Addresses of clients take turns.",
        ),
    ] = 256
    login_queue_per_address: Annotated[
        int,
        Meta(ge=1, description="How many of them may come from one address, or one /64 of IPv6."),
    ] = 32
    application_credentials: Annotated[
        int, Meta(ge=0, description="Application credentials of a user at most.")
    ] = 100


class KeystoneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cloud's Keystone, in place of the built-in identity."""

    auth_url: Annotated[
        str | None,
        Meta(
            description="URL of Keystone. With it, its tokens are taken and no others.",
            extra={"form": forms.URL},
        ),
    ] = None
    public_url: Annotated[
        str | None,
        Meta(description="URL that clients are told; without it, auth_url.", extra={"form": forms.URL}),
    ] = None
    username: Annotated[str, Meta(description="The service's own user, who may validate tokens.")] = "glance"
    password: Annotated[
        str,
        Meta(description="Its password; better in the environment than in the file.", extra={"secret": True}),
    ] = ""
    project_name: Annotated[str, Meta(description="The service's own project.")] = "service"
    user_domain_name: Annotated[str, Meta(description="Domain of the user.")] = "Default"
    project_domain_name: Annotated[str, Meta(description="Domain of the project.")] = "Default"
    cafile: Annotated[str | None, Meta(description="Certificates to trust, instead of the system's.")] = None
    proxy: Annotated[
        str | None,
        Meta(
            description="HTTP proxy for calls to Keystone and to image services of other regions, as "
            "http://proxy.example.org:3128. HTTP_PROXY and the like are never used."
        ),
    ] = None
    endpoint_id: Annotated[
        str | None,
        Meta(description="Id of our endpoint in Keystone. With it quotas are Keystone's unified limits."),
    ] = None
    timeout: Annotated[int, Meta(ge=1, description="Seconds to wait for an answer.")] = 10
    cache_seconds: Annotated[
        int,
        Meta(
            ge=0,
            description=(
                "Seconds for which a validated token is trusted, even if it is revoked meanwhile. While "
                "Keystone takes long to answer, up to 5 seconds more; with 0, every request is validated."
            ),
        ),
    ] = 60
    service_roles: Annotated[
        tuple[str, ...], Meta(description="Roles of services that may speak for users (X-Service-Token).")
    ] = ("service",)


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may do what."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description="Rules that differ from the defaults, below `data_dir`; it may be missing.",
        ),
    ] = "policy.yaml"
    property_file: Annotated[
        str | None,
        Meta(description="Property protections, as Glance has them; a relative path is below `data_dir`."),
    ] = None
    property_rules: Annotated[
        Literal["roles", "policies"], Meta(description="What stands in that file: roles, or policy rules.")
    ] = "roles"
