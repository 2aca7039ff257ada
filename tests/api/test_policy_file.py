"""An operator's own rules."""

from pathlib import Path

from inprocess import Prepared, running
from tintype.settings import PolicySettings


async def test_rules_of_a_file_win_over_the_defaults(prepared: Prepared, tmp_path: Path) -> None:
    """What it names is as it says, what it does not name is as before, and its helpers may be used."""
    file = tmp_path / "rules.yaml"
    file.write_text('"friends": "role:reader"\nadd_image: "rule:friends"\ndelete_image: "!"\n')
    async with running(prepared, tmp_path, policy=PolicySettings(file=str(file))) as service:
        made = await service.call("carol", "POST", "/v2/images", json={"name": "x"})
        assert made.status_code == 201
        path = f"/v2/images/{made.json()['id']}"
        assert (await service.call("admin", "DELETE", path)).status_code == 403
        assert (await service.call("carol", "PUT", f"{path}/tags/x")).status_code == 403
        assert (await service.call("bob", "DELETE", path)).status_code == 404
