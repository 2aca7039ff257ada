"""What happens when an upload dies: its lease expires, and the sweeper of any process rolls it back.

What a process leaves behind depends on when it died:
- before the reservation: nothing;
- while bytes arrived, or before the store committed them: partly written bytes;
- between the store's commit and the completing transaction: complete bytes that belong to no image.
In the last two cases the blob is `writing`: the image is set back to queued, and the bytes are deleted by
key, which finds partly written ones as well. After the completing transaction there is nothing to undo. A
resumable upload that died during its last step only becomes `partial` again.
"""

from typing import Final

import structlog

from tintype.db import blobs as blob_rows
from tintype.db import images as image_rows
from tintype.db import uploads as upload_rows
from tintype.db.engine import Database
from tintype.domain.blobs import CONDEMNED, PARTIAL, STAGED, WRITING, Blob
from tintype.services.ingest import release_image
from tintype.services.leases import BlobLeases

_LOST: Final = "The server process that received the upload ended before the upload did. Send it again."
_STALE: Final = "The staged data was not imported within 7 days. Stage it again."


class Recovery:
    """Rolls back uploads and stages whose blobs have expired."""

    def __init__(
        self, database: Database, leases: BlobLeases, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._database = database
        self._leases = leases
        self._log = log

    async def recover(self, blob: Blob, moment: int) -> bool:
        """Roll back a blob that had expired at `moment`; return False if there was nothing to undo.

        Blobs that this process is writing are skipped even if their lease has expired, and so are resumable
        uploads that a request has locked.
        """
        if self._leases.is_held(blob.id):
            return False
        async with self._database.write() as tx:
            await image_rows.lock(tx, blob.image_id)
            upload = None
            if blob.state != STAGED:
                upload = await upload_rows.get(tx, blob.image_id, blob.id)
            if upload is not None and blob.state == WRITING:  # died in its last step, which can be retried
                if await blob_rows.expire(tx, blob, PARTIAL, moment, upload.expires_at):
                    await release_image(tx, [blob], _LOST)
                return False
            locked = await upload_rows.lock(tx, blob.id)
            if locked or not await blob_rows.expire(tx, blob, CONDEMNED, moment):
                return False
            await upload_rows.remove(tx, blob.id)
            if blob.state != PARTIAL:
                await release_image(tx, [blob], _STALE if blob.state == STAGED else _LOST)
        self._log.warning("upload was abandoned", image_id=blob.image_id, blob_id=blob.id)
        return True
