"""Releases side by side: what a revision does leaves those of the release before at work, and they may start again."""

import ast
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from berth import migrations
from berth.base.clock import SystemClock
from berth.base.db import DatabaseUnavailable, connect
from berth.core import instances, ledger
from tests import make
from tests.conftest import Databases

VERSIONS = Path(migrations.__file__).parent / "versions"
FIRST_RELEASED = "0020"
"""From the revision after this on, servers of the release before may be at work while it runs."""
ADDS = {"add_column", "create_index", "create_table", "get_bind", "execute"}
"""What a revision may do with a schema: whoever does not know of it goes on as before."""
DESTROYS = ("DROP", "RENAME", "ALTER", "DELETE", "TRUNCATE", "NOT NULL", "UNIQUE")


def revisions() -> list[Path]:
    return sorted(VERSIONS.glob("r*.py"))


def problems(name: str, text: str, *, is_released: bool) -> list[str]:
    """What in a revision would be in the way of the release before."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="op"), attr=verb)):
                if verb not in ADDS:
                    found.append(f"{name}:{node.lineno}: op.{verb}: add first, drop a release later")
                if verb == "add_column" and not _has_value(node):
                    found.append(
                        f"{name}:{node.lineno}: a column that older servers leave out needs a default"
                    )
            case ast.Constant(value=str(sentence)) if is_released:
                statement = sentence.upper()
                if any(word in statement for word in DESTROYS) and statement.startswith(DESTROYS):
                    found.append(f"{name}:{node.lineno}: {sentence!r}")
            case ast.FunctionDef(name="downgrade"):
                found.append(f"{name}:{node.lineno}: nothing is taken back: restore a backup")
            case _:
                pass
    return found


def _has_value(call: ast.Call) -> bool:
    return any(
        keyword.arg in {"nullable", "default", "server_default"}
        for each in call.args
        if isinstance(each, ast.Call)
        for keyword in each.keywords
    )


def test_revisions_add_and_destroy_nothing() -> None:
    found = [
        problem
        for path in revisions()
        for problem in problems(
            path.name, path.read_text("utf-8"), is_released=path.name[1:5] > FIRST_RELEASED
        )
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "op.drop_table('entries')",
        "op.drop_column('entries', 'code')",
        "op.alter_column('entries', 'code', nullable=False)",
        "op.rename_table('entries', 'rows')",
        "op.drop_index('entries_by_account')",
        "op.batch_alter_table('entries')",
        "op.add_column('entries', text('code'))",
        "op.execute('DROP TABLE entries')",
        "op.execute('alter table entries drop column code')",
        "op.execute('DELETE FROM entries')",
        "def downgrade(): pass",
    ],
)
def test_what_would_destroy_is_noticed(text: str) -> None:
    assert problems("r9999.py", text, is_released=True)


def test_one_line_of_revisions_leads_to_the_newest() -> None:
    numbers = [path.name[1:5] for path in revisions()]
    assert migrations.newest() == max(numbers)


@pytest.mark.parametrize("known", ["0001", "0005", "0009", "0016"])
def test_what_an_older_release_inserts_goes_into_the_newest_schema(
    databases: Databases, engine: str, known: str
) -> None:
    """It leaves out every column that it does not know."""
    old_url, new_url = databases.empty(engine), databases.empty(engine)
    _upgrade_to(old_url, known)
    migrations.upgrade(new_url)
    old, new = _reflected(old_url), _reflected(new_url)
    for table in old.sorted_tables:
        now = new.tables[table.name]
        for column in now.columns:
            if column.name not in table.columns:
                assert column.nullable or column.server_default is not None, f"{table.name}.{column.name}"
        assert set(table.columns.keys()) <= set(now.columns.keys()), table.name
    databases.drop(old_url)
    databases.drop(new_url)


def test_a_release_before_starts_and_works_on_a_newer_schema(empty_url: str) -> None:
    """As it does when it is started again while the next one is rolled out, or after that was taken back."""
    migrations.upgrade(empty_url)
    engine = sa.create_engine(_alchemy(empty_url))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE instances ADD COLUMN of_tomorrow BIGINT"))
        connection.execute(sa.text("CREATE TABLE tomorrow (id TEXT PRIMARY KEY)"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    migrations.upgrade(empty_url)
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()
    database = connect(empty_url, SystemClock())
    customer = make.project(database)
    made = make.instance(database, "running", customer.by)
    database.write_now(instances.stop, customer.by, made.id)
    assert database.read_now(ledger.verify) == []
    database.close()


@pytest.mark.parametrize("engine", ["postgresql"])
def test_an_upgrade_does_not_wait_for_ever_behind_a_table_in_use(empty_url: str) -> None:
    """Who waits for a table makes everybody wait who comes after."""
    _upgrade_to(empty_url, "0001")
    database = connect(empty_url, SystemClock())
    is_reading, ends = threading.Event(), threading.Event()

    def read(tx: object) -> None:
        tx.one("SELECT COUNT(*) FROM segments")  # type: ignore[attr-defined]
        is_reading.set()
        ends.wait(60)

    reader = threading.Thread(target=database.read_now, args=(read,))
    reader.start()
    is_reading.wait(30)
    try:
        # Its own option, shorter than the revisions' own: the test need not wait as long as servers may.
        with pytest.raises(DatabaseUnavailable, match="not upgraded"):
            migrations.upgrade(empty_url, lock_timeout="100ms")
    finally:
        ends.set()
        reader.join()
    migrations.upgrade(empty_url)
    database.close()


def _reflected(url: str) -> sa.MetaData:
    engine = sa.create_engine(_alchemy(url))
    found = sa.MetaData()
    found.reflect(engine)
    engine.dispose()
    return found


def _alchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def _upgrade_to(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["url"] = _alchemy(url)
    command.upgrade(config, revision)
