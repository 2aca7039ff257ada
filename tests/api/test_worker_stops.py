"""A worker that is stopped puts its jobs back, whatever it is doing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from test_imports import begin, ended, loopback, new_image, working

import web
from inprocess import Prepared, running
from tintype.db import jobs
from tintype.db.tables import jobs as table
from tintype.jobs import worker
from tintype.jobs.attempts import Attempt


@pytest.mark.parametrize("moment", ["in the claim", "after the claim"])
async def test_a_stop_about_the_time_of_a_claim_puts_the_job_back(
    moment: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is pending, held by nobody, no attempt is counted, and the next worker has it at once."""
    claim, attempt_at = jobs.claim, Attempt
    at_work: asyncio.Task[None]

    async def stopped_claim(*arguments: Any, **more: Any) -> Any:
        claimed = await claim(*arguments, **more)
        if claimed is not None:
            at_work.cancel()
        return claimed

    def stopped_attempt(*arguments: Any) -> Any:
        at_work.cancel()
        return attempt_at(*arguments)

    with web.serving(lambda request: request.ranged(bytes(1000))) as server:
        async with running(prepared, tmp_path, imports=loopback(server)) as service:
            image = await new_image(service)
            method = {"name": "web-download", "uri": server.url}
            assert (await begin(service, image, method)).status_code == 202
            with monkeypatch.context() as patched:
                if moment == "in the claim":
                    patched.setattr(jobs, "claim", stopped_claim)
                else:
                    patched.setattr(worker, "Attempt", stopped_attempt)
                at_work = asyncio.create_task(service.parts.worker.run())
                await asyncio.wait([at_work], timeout=60)
            columns = (table.c.state, table.c.attempts, table.c.held_until)
            async with service.parts.database.read() as tx:
                row = (await tx.execute(select(*columns))).one()
            assert tuple(row) == ("pending", 0, 0)
            async with working(service):
                assert (await ended(service, image, 60))["status"] == "success"
