"""How bytes come into images: format checks, plugins, other regions, and the work on each type of job."""

from typing import TYPE_CHECKING

from tintype.domain.tasks import IMPORT, LEGACY_IMPORT, LOCATION
from tintype.errors import StartError
from tintype.formats import every_check
from tintype.jobs.attempts import Work
from tintype.jobs.imports import ImportOptions, ImportWork
from tintype.jobs.locations import LocationWork
from tintype.jobs.regions import KeystoneRegions, OwnRegion, Regions
from tintype.plugins.base import Plugin, others
from tintype.plugins.convert import Convert
from tintype.plugins.decompress import Decompress
from tintype.plugins.inject import Inject
from tintype.settings import Settings

if TYPE_CHECKING:
    from tintype.wiring.service import Service


def create_tolerated_checks(settings: Settings) -> frozenset[str]:
    """Return the format checks that only write to the log; raises StartError for one that there is not."""
    names = settings.images.tolerated_format_checks
    known = every_check()
    unknown = sorted(set(names) - known - {"all"})
    if unknown:
        setting = settings.named("images.tolerated_format_checks")
        raise StartError(
            f"{setting}: there is no format check '{unknown[0]}'. There are: {', '.join(sorted(known))}."
        )
    return known if "all" in names else frozenset(names)


def create_plugins(settings: Settings) -> list[Plugin]:
    """Create the plugins of imports, in order; raises StartError for one that is not there, or is twice."""
    if len(set(settings.imports.plugins)) < len(settings.imports.plugins):
        raise StartError(f"{settings.named('imports.plugins')}: a plugin is named twice.")
    try:
        return [_plugin(name, settings) for name in settings.imports.plugins]
    except StartError as error:
        raise StartError(f"{settings.named('imports.plugins')}: {error.message}") from None


def create_regions(service: "Service") -> Regions:
    """Create what finds images of other regions, by the catalogue of the identity service."""
    settings = service.settings
    chosen = settings.imports
    if settings.keystone.auth_url is None:
        region, rate = settings.identity.region, chosen.min_source_rate
        return OwnRegion(service.database, service.policy, service.copies, region, rate)
    return KeystoneRegions(
        settings.keystone.auth_url,
        service.cloud_web,
        limit=settings.images.size_limit,
        seconds=chosen.seconds,
        min_rate=chosen.min_source_rate,
    )


def create_works(service: "Service") -> dict[str, Work]:
    """Create what does the work, for each type of job."""
    settings = service.settings
    chosen = settings.imports
    importing = ImportWork(
        service.database,
        service.ingest,
        service.copies,
        service.web,
        create_regions(service),
        ImportOptions(
            service.plugins,
            settings.data_dir / chosen.scratch,
            chosen.seconds,
            service.protections,
            service.property_check,
            chosen.copied_properties,
            chosen.min_source_rate,
        ),
    )
    locating = LocationWork(
        service.database,
        service.ingest,
        service.copies,
        service.locations,
        algorithm=settings.images.hash_algorithm,
        seconds=chosen.seconds,
        min_source_rate=chosen.min_source_rate,
    )
    return {IMPORT: importing, LEGACY_IMPORT: importing, LOCATION: locating}


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
