"""The composition root: each part is created once per process, and only if it is needed."""

import pickle
from pathlib import Path

import pytest

from inprocess import make_settings
from tintype.db.engine import SQLite
from tintype.settings import KeystoneSettings
from tintype.wiring.service import Service


async def test_only_what_is_needed_is_made(tmp_path: Path) -> None:
    """A command that looks after the stores needs neither the rules nor who is calling."""
    (tmp_path / "policy.yaml").write_text("'context_is_admin': 'role:'")
    service = Service(make_settings(tmp_path, keystone=KeystoneSettings(auth_url="http://192.0.2.1/v3")))
    assert service.upkeep is service.upkeep
    assert service.ingest.stores == {"local": service.store("local")}
    assert not {"policy", "identification", "web", "worker", "app"} & vars(service).keys()
    await service.close()


async def test_what_was_opened_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is opened only to be closed."""
    closed = []

    async def close(database: SQLite) -> None:
        closed.append(database)

    monkeypatch.setattr(SQLite, "close", close)
    service = Service(make_settings(tmp_path))
    await service.close()
    assert closed == []
    database = service.database
    await service.close()
    assert closed == [database]


def test_another_process_makes_its_own_parts(tmp_path: Path) -> None:
    """Only the settings are sent there."""
    service = Service(make_settings(tmp_path))
    assert service.stores
    other = pickle.loads(pickle.dumps(service))  # noqa: S301 (our own bytes)
    assert (other.settings, vars(other).keys()) == (service.settings, {"settings", "_stores"})
    assert other.store("local") is not service.store("local")
