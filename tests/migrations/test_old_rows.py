"""A database with the rows of an earlier release: what was made then is, once upgraded, as if it were made now."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from berth import migrations
from berth.base.db import Database, connect
from berth.core import billing, instances, ledger, volumes
from berth.core.instances import Contract, Instance
from berth.core.volumes import Fate
from tests import make
from tests.conftest import FakeClock
from tests.core.books import assert_exact, rows

BEFORE = "0009"
"""The release before spot, long terms, boot disks that stay, clusters and tags."""


def alchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def upgrade_to(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = alchemy(url)
    command.upgrade(config, revision)


def hand_over(now_url: str, old_url: str) -> None:
    """Copies every row that the earlier release could have written, with the columns that it knew."""
    new, old = sa.create_engine(alchemy(now_url)), sa.create_engine(alchemy(old_url))
    known = sa.MetaData()
    known.reflect(old)
    with new.connect() as source, old.begin() as target:
        for table in known.sorted_tables:
            if table.name == "alembic_version":
                continue
            found = [dict(row._mapping) for row in source.execute(sa.select(table))]
            if found:
                target.execute(table.delete())
                target.execute(table.insert(), found)
                _count_on(target, table)
    new.dispose()
    old.dispose()


def _count_on(target: sa.Connection, table: sa.Table) -> None:
    """Numbers that the database gives go on after those of the rows, which came with theirs."""
    [*key] = table.primary_key.columns
    if target.dialect.name == "postgresql" and len(key) == 1 and isinstance(key[0].type, sa.Integer):
        sequence = f"pg_get_serial_sequence('{table.name}', '{key[0].name}')"
        target.execute(sa.text(f"SELECT setval({sequence}, MAX({key[0].name})) FROM {table.name}"))


@pytest.fixture
def old_url(empty_url: str) -> str:
    upgrade_to(empty_url, BEFORE)
    return empty_url


def test_what_ran_before_the_upgrade_runs_is_paid_for_and_ends_after_it(
    db: Database, database_url: str, old_url: str, clock: FakeClock
) -> None:
    customer = make.project(db)
    data = make.volume(db, "detached", customer.by)
    made: dict[str, Instance] = {}
    for status in ("running", "offline", "provisioning", "deleted"):
        more: dict[str, Any] = {"existing_volumes": [data.id]} if status == "running" else {}
        made[status] = make.instance(db, status, customer.by, **more)
    clock.advance(seconds=1900)
    db.write_now(billing.sweep)
    disks = {status: db.read_now(volumes.os_volume_of, each.id) for status, each in made.items()}
    hand_over(database_url, old_url)

    migrations.upgrade(old_url)
    upgraded = connect(old_url, clock)
    for status, each in made.items():
        assert make.now(upgraded, each) == make.now(db, each), status
        assert upgraded.read_now(volumes.os_volume_of, each.id) == disks[status], status
    running = make.now(upgraded, made["running"])
    assert (running.is_spot, running.contract, running.cluster_id) == (False, Contract.PAY_AS_YOU_GO, None)
    assert make.volume_now(upgraded, data) == make.volume_now(db, data)
    assert make.volume_now(upgraded, data).eviction_fate is Fate.DETACH
    assert rows(upgraded, "SELECT * FROM claims") == rows(db, "SELECT * FROM claims")

    clock.advance(seconds=800)
    upgraded.write_now(billing.sweep)
    upgraded.write_now(instances.delete, customer.by, running.id, make.RULES)
    make.seen(upgraded, running, instances.gone, make.RULES)
    assert upgraded.read_now(billing.bill, running.id).total == billing.total(running.price, 2700)
    assert make.volume_now(upgraded, data).status == "detached"
    assert upgraded.read_now(ledger.verify) == []
    assert_exact(upgraded)
    upgraded.close()
