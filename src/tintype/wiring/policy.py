"""Files of the operator: policy, property protections, schema of image properties."""

from collections.abc import Mapping
from typing import Any

import structlog

from tintype.domain import property_schema
from tintype.domain.images import BASE_ATTRIBUTES
from tintype.domain.property_schema import PropertySchema
from tintype.errors import StartError
from tintype.policy.engine import Policy, read_rules, unused
from tintype.policy.properties import Protections, read_protections
from tintype.policy.rules import DEFAULTS, SERVED
from tintype.settings import ImageSettings, PolicySettings, Settings


def create_policy(settings: Settings, log: structlog.typing.FilteringBoundLogger) -> Policy:
    """Read the policy: the default rules, overridden by the operator's file."""
    path = settings.data_dir / settings.policy.file
    try:
        rules = read_rules(path.read_text(encoding="utf-8"), str(path))
        for name in unused(rules, SERVED):
            log.warning("policy rule is not used", rule=name, file=str(path))
        return compile_policy(rules, str(path))
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and settings.policy.file == PolicySettings().file:
            return Policy(DEFAULTS)
        raise StartError(f"{settings.named('policy.file')}: cannot read {path}: {error}.") from None


def compile_policy(rules: Mapping[str, Any], origin: str) -> Policy:
    """Return the default rules overridden by an operator's; raises StartError that names their file."""
    try:
        return Policy({**DEFAULTS, **rules})
    except StartError as error:
        raise StartError(f"{origin}: {error.message}") from None


def create_protections(settings: Settings, policy: Policy) -> Protections | None:
    """Read the property protections, if there are any."""
    if settings.policy.property_file is None:
        return None
    path = settings.data_dir / settings.policy.property_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{settings.named('policy.property_file')}: cannot read {path}: {error}.") from None
    by_rule = settings.policy.property_rules == "policies"
    return read_protections(text, str(path), policy if by_rule else None)


def create_property_schema(settings: Settings) -> PropertySchema | None:
    """Read the operator's schema of image properties, if there is one."""
    chosen = settings.images.schema_file
    path = settings.data_dir / chosen
    try:
        return property_schema.read(path.read_text(encoding="utf-8"), BASE_ATTRIBUTES)
    except (OSError, ValueError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        if isinstance(error, FileNotFoundError) and chosen == ImageSettings().schema_file:
            return None
        raise StartError(f"{settings.named('images.schema_file')}: cannot use {path}: {error}.") from None
