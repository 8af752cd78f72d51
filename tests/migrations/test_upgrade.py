"""The schema: made from nothing, left alone when it is there, the same on both engines, by many at once."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from berth import migrations
from berth.base.clock import SystemClock
from berth.base.db import DatabaseUnavailable, connect, is_postgresql
from berth.core import ledger
from tests.conftest import ENGINES, Databases

UPGRADE = """
import sys
from berth import migrations
sys.stdin.readline()
migrations.upgrade(sys.argv[1])
"""
Shape = dict[str, object]


def inspected(url: str) -> Shape:
    """Tables, columns, keys and indexes, in words both engines share."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    seen = sa.inspect(engine)
    shape: Shape = {}
    for table in sorted(seen.get_table_names()):
        shape[table] = {
            "columns": [
                (column["name"], kind(column["type"]), column["nullable"])
                for column in seen.get_columns(table)
            ],
            "key": sorted(seen.get_pk_constraint(table)["constrained_columns"]),
            "indexes": sorted(
                (str(index["name"]), index["column_names"], bool(index["unique"]))
                for index in seen.get_indexes(table)
            ),
        }
    engine.dispose()
    return shape


def kind(column: object) -> str:
    return "number" if isinstance(column, sa.Integer) else type(column).__name__


def test_an_empty_database_gets_the_schema(empty_url: str) -> None:
    migrations.upgrade(empty_url)
    database = connect(empty_url, SystemClock())
    assert database.read_now(ledger.verify) == []
    database.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_keeps_text_otherwise_than_in_utf_8_is_refused(
    databases: Databases, encoding: str
) -> None:
    url = databases.empty("postgresql", encoding=encoding)
    with pytest.raises(DatabaseUnavailable, match=f"{encoding}.*UTF8"):
        migrations.upgrade(url)
    databases.drop(url)


def test_what_the_client_of_postgresql_would_say_by_itself_is_not_asked(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    url = databases.empty("postgresql")
    migrations.upgrade(url)
    database = connect(url, SystemClock())
    assert database.read_now(lambda tx: tx.one("SELECT :text", text="Zürich")) == ("Zürich",)
    database.close()
    databases.drop(url)


def test_upgrading_again_changes_nothing_and_keeps_the_rows(empty_url: str) -> None:
    migrations.upgrade(empty_url)
    database = connect(empty_url, SystemClock())
    database.write_now(lambda tx: ledger.open_account(tx, "a"))
    database.close()
    before = inspected(empty_url)
    migrations.upgrade(empty_url)
    assert inspected(empty_url) == before
    database = connect(empty_url, SystemClock())
    assert database.read_now(lambda tx: ledger.account(tx, "a")).balance == 0
    database.close()


def test_a_database_in_use_can_be_upgraded(empty_url: str) -> None:
    migrations.upgrade(empty_url)
    database = connect(empty_url, SystemClock())
    database.write_now(ledger.open_account, "a")
    migrations.upgrade(empty_url)
    database.write_now(ledger.open_account, "b")
    database.close()


def test_several_processes_upgrade_at_once(empty_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, empty_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    database = connect(empty_url, SystemClock())
    assert database.read_now(ledger.verify) == []
    database.close()


def test_both_engines_have_one_schema(databases: Databases) -> None:
    shapes = []
    for engine in ENGINES:
        url = databases.migrated(engine)
        shapes.append(inspected(url))
        databases.take_back(url)
    assert shapes[0].keys() == shapes[1].keys()
    for table, shape in shapes[0].items():
        assert shape == shapes[1][table], table


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_failed_upgrade_leaves_nothing_behind(empty_url: str) -> None:
    """A table of another program stands in the way of ours."""
    assert not is_postgresql(empty_url)
    database = connect(empty_url, SystemClock())
    database.write_now(lambda tx: tx.run("CREATE TABLE orphans (a TEXT)"))
    database.close()
    with pytest.raises(sa.exc.OperationalError, match="orphans"):
        migrations.upgrade(empty_url)
    assert list(inspected(empty_url)) == ["orphans"]
