"""The parts that work in the background."""

from functools import cached_property

from tintype.jobs.sweeper import Sweeper
from tintype.jobs.worker import Worker
from tintype.services.tasks import Tasks
from tintype.wiring.jobs import create_job_handlers
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
