"""The parts that work in the background, and their work for each type of job."""

from functools import cached_property

from tintype.domain.tasks import IMPORT, LEGACY_IMPORT, LOCATION
from tintype.jobs.attempts import Work
from tintype.jobs.imports import ImportOptions, ImportWork
from tintype.jobs.locations import LocationWork
from tintype.jobs.regions import KeystoneRegions, OwnRegion, Regions
from tintype.jobs.sweeper import Sweeper
from tintype.jobs.worker import Worker
from tintype.services.tasks import Tasks
from tintype.wiring.parts import Parts


class Background(Parts):
    """The parts, with those that work in the background."""

    @cached_property
    def worker(self) -> Worker:
        """The worker, which runs jobs."""
        worker = Worker(
            self.database,
            create_job_handlers(self),
            self.log,
            self.metrics,
            concurrency=self.settings.jobs.concurrency,
            lifetime=self.settings.jobs.task_lifetime * 1_000_000,
        )
        self.jobs_added.subscribe(worker.wake)
        return worker

    @cached_property
    def sweeper(self) -> Sweeper:
        """The sweeper, which cleans up after interrupted work."""
        sweeper = Sweeper(self.database, self.ingest, self.identity, self.log, self.metrics)
        self.blobs_condemned.subscribe(sweeper.wake)
        return sweeper

    @cached_property
    def tasks(self) -> Tasks:
        """Jobs, as the API shows them."""
        return Tasks(self.database, self.access, cancel=self.worker.cancel)


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
