"""The handlers of each type of job, and the access to images of other regions."""

from tintype.domain.tasks import IMPORT, LEGACY_IMPORT, LOCATION
from tintype.jobs.attempts import Work
from tintype.jobs.imports import ImportOptions, ImportWork
from tintype.jobs.locations import LocationWork
from tintype.jobs.regions import KeystoneRegions, OwnRegion, Regions
from tintype.wiring.parts import Parts


def create_regions(parts: Parts) -> Regions:
    """Create the access to images of other regions, using Keystone's service catalogue."""
    settings = parts.settings
    chosen = settings.imports
    if settings.keystone.auth_url is None:
        region, rate = settings.identity.region, chosen.min_source_rate
        return OwnRegion(parts.database, parts.access, parts.copies, region, rate)
    return KeystoneRegions(
        settings.keystone.auth_url,
        parts.cloud_web,
        limit=settings.images.size_limit,
        seconds=chosen.seconds,
        min_rate=chosen.min_source_rate,
    )


def create_job_handlers(parts: Parts) -> dict[str, Work]:
    """Create the handler of each type of job."""
    settings = parts.settings
    chosen = settings.imports
    importing = ImportWork(
        parts.database,
        parts.ingest,
        parts.copies,
        parts.web,
        create_regions(parts),
        ImportOptions(
            parts.plugins,
            settings.data_dir / chosen.scratch,
            chosen.seconds,
            parts.protections,
            parts.property_check,
            chosen.copied_properties,
            chosen.min_source_rate,
        ),
    )
    locating = LocationWork(
        parts.database,
        parts.ingest,
        parts.copies,
        parts.locations,
        algorithm=settings.images.hash_algorithm,
        seconds=chosen.seconds,
        min_source_rate=chosen.min_source_rate,
    )
    return {IMPORT: importing, LEGACY_IMPORT: importing, LOCATION: locating}
