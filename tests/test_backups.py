"""A backup is one instant of everything, made while others write; it comes back whole, on either engine, or not at all."""

import os
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from berth import backups, migrations
from berth.base.clock import SystemClock
from berth.base.db import Database, Tx, connect, sqlite_path
from berth.base.db_rows import snapshot, target
from berth.core import instances, ledger, projects
from berth.core.projects import KeySpec
from berth.settings import Settings, SettingsError
from tests import make
from tests.conftest import ENGINES, Databases
from tests.core.books import rows

PEPPER = b"p" * 32
NOBODY = 65534


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """An installation with customers, instances and a delivery under way."""
    directory = tmp_path / "first"
    directory.mkdir()
    (directory / "pepper").write_bytes(PEPPER)
    (directory / "credentials.json").write_text('{"api_key": "mk_1"}')
    database = connect(database_url, SystemClock())
    customer = make.project(database, credit="1000")
    make.webhook(database, customer.by)
    for status in ("running", "ordered", "deleted", "offline"):
        make.instance(database, status, customer.by)
    make.volume(database, "attached", customer.by)
    database.write_now(instances.lease_due, limit=10, seconds=600, providers=[make.PROVIDER])
    database.close()
    return Settings(data_dir=directory, database_url=database_url)


@pytest.fixture(params=ENGINES)
def empty(request: pytest.FixtureRequest, tmp_path: Path, databases: Databases) -> Settings:
    """A place to restore into, on each engine."""
    directory = tmp_path / "second"
    url = databases.empty("postgresql") if request.param == "postgresql" else None
    return Settings(data_dir=directory, database_url=url)


def bring(file: Path, into: Settings, *, despite_books: bool = False) -> None:
    with backups.opened(file) as (archive, manifest):
        backups.bring_back(into, archive, manifest, despite_books=despite_books)


def all_rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    with snapshot(url) as seen:
        return {
            table: sorted(seen.rows(table, seen.columns(table)), key=repr) for table in migrations.tables()
        }


LEASED = {"instances", "volumes", "leases", "deliveries", "notices"}
"""Whose leases are ended by a restore."""


def test_everything_comes_back_on_either_engine(settings: Settings, empty: Settings, tmp_path: Path) -> None:
    manifest = backups.save(settings, tmp_path / "backup")
    bring(tmp_path / "backup", empty)
    before, now = all_rows(settings.database), all_rows(empty.database)
    assert sum(map(len, before.values())) == manifest.rows
    for table, found in before.items():
        assert len(now[table]) == len(found), table
        if table not in LEASED:
            assert now[table] == found, table
    assert empty.pepper_path.read_bytes() == PEPPER
    assert (empty.data_dir / "credentials.json").read_text() == '{"api_key": "mk_1"}'
    for path in (tmp_path / "backup", empty.pepper_path, empty.data_dir / "credentials.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_came_back_goes_on(settings: Settings, empty: Settings, tmp_path: Path) -> None:
    """Rows are held by nobody, and numbers that the database gives go on after those there are."""
    backups.save(settings, tmp_path / "backup")
    bring(tmp_path / "backup", empty)
    database = connect(empty.database, SystemClock())
    due = database.write_now(instances.lease_due, limit=10, seconds=60, providers=[make.PROVIDER])
    assert len(due) == len(rows(database, "SELECT id FROM instances WHERE due_at IS NOT NULL")) > 0
    customer = make.project(database, "another", credit="50")
    assert make.ordered(database, customer.by).status == "ordered"
    assert database.read_now(ledger.verify) == []
    database.close()


def test_a_backup_made_under_load_is_one_instant(database_url: str, empty: Settings, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    database = connect(database_url, SystemClock())
    customers = [make.project(database, credit="100") for _ in range(4)]
    has_begun, ends = threading.Barrier(5), threading.Event()

    def spend(number: int) -> None:
        by, count = customers[number].by, 0
        has_begun.wait(30)
        while not ends.is_set():
            make.topup(database, by, "1", reference=f"{number}-{count}")
            _add_key(database, number, count)
            count += 1

    def _add_key(db: Database, number: int, count: int) -> None:
        if count % 7 == 0 and count < 70:
            db.write_now(
                projects.create_key,
                customers[number].by,
                KeySpec(name=f"k{count}", scopes=["full"]),
                pepper=PEPPER,
            )

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    has_begun.wait(30)
    try:
        for number in range(3):
            backups.save(settings, tmp_path / f"backup-{number}")
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    database.close()
    bring(tmp_path / "backup-2", empty)
    assert backups.books(empty.database) == []
    restored = connect(empty.database, SystemClock())
    [(entries,)] = rows(restored, "SELECT COUNT(*) FROM entries")
    assert entries > 4
    restored.close()


def test_nothing_that_exists_is_overwritten(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(b"precious")
    with pytest.raises(SettingsError, match="exists already"):
        backups.save(settings, file)
    assert file.read_bytes() == b"precious"
    backups.save(settings, tmp_path / "other")
    before = all_rows(settings.database)
    with pytest.raises(SettingsError, match=r"there is a database already|is not empty"):
        bring(tmp_path / "other", settings)
    assert all_rows(settings.database) == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["backup", "other"]


def test_another_pepper_is_not_replaced_and_the_same_is_let_be(
    settings: Settings, empty: Settings, tmp_path: Path
) -> None:
    backups.save(settings, tmp_path / "backup")
    empty.data_dir.mkdir()
    empty.pepper_path.write_bytes(b"another")
    with pytest.raises(SettingsError, match="another than that of the backup"):
        bring(tmp_path / "backup", empty)
    empty.pepper_path.write_bytes(PEPPER)
    bring(tmp_path / "backup", empty)
    assert empty.pepper_path.read_bytes() == PEPPER


def _truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _flip(file: Path) -> None:
    """One bit in the middle of the entries, with everything else as it was."""
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("tables/entries.jsonl")
    with file.open("r+b") as raw:
        raw.seek(info.header_offset + 30 + len(info.filename) + 40)
        byte = raw.read(1)
        raw.seek(-1, 1)
        raw.write(bytes([byte[0] ^ 1]))


def _lose_rows(file: Path) -> None:
    _rewrite(file, "tables/entries.jsonl", lambda text: text[: text.index(b"\n") + 1])


def _lose_manifest(file: Path) -> None:
    _rewrite(file, "manifest.json", lambda _: None)


def _from_the_future(file: Path) -> None:
    revision = migrations.newest().encode()
    _rewrite(file, "manifest.json", lambda text: text.replace(b'"%b"' % revision, b'"9999"'))


def _strange_table(file: Path) -> None:
    _rewrite(file, "manifest.json", lambda text: text.replace(b"tables/entries.jsonl", b"tables/x.jsonl"))


def _rewrite(file: Path, name: str, change: Callable[[bytes], bytes | None]) -> None:
    fresh = file.with_suffix(".fresh")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(fresh, "w") as new:
        for each in old.namelist():
            text = old.read(each) if each != name else change(old.read(each))
            if text is not None:
                new.writestr(each, text)
    fresh.replace(file)


@pytest.mark.parametrize(
    "damage", [_truncate, _flip, _lose_rows, _lose_manifest, _from_the_future, _strange_table]
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_damaged_backup_leaves_an_empty_place(
    settings: Settings, empty: Settings, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    backups.save(settings, whole)
    shutil.copy(whole, broken)
    damage(broken)
    with pytest.raises(SettingsError):
        bring(broken, empty)
    assert not empty.pepper_path.exists()
    bring(whole, empty)
    assert backups.books(empty.database) == []


def test_books_that_disagree_do_not_come_back_unless_asked(
    settings: Settings, empty: Settings, tmp_path: Path
) -> None:
    database = connect(settings.database, SystemClock())
    database.write_now(_falsify)
    database.close()
    assert len(backups.books(settings.database)) == 1
    backups.save(settings, tmp_path / "backup")
    with pytest.raises(SettingsError, match="disagree"):
        bring(tmp_path / "backup", empty)
    bring(tmp_path / "backup", empty, despite_books=True)
    assert len(backups.books(empty.database)) == 1


def test_a_database_of_another_program_is_not_restored_into(
    settings: Settings, databases: Databases, tmp_path: Path
) -> None:
    url = databases.empty("postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE theirs (a TEXT)")
        connection.execute("INSERT INTO theirs VALUES ('precious')")
    backups.save(settings, tmp_path / "backup")
    with pytest.raises(SettingsError, match="theirs"):
        bring(tmp_path / "backup", Settings(data_dir=tmp_path / "second", database_url=url))


def test_what_fails_in_the_middle_leaves_no_file(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        backups.save(settings, tmp_path / "nowhere" / "backup")
    (tmp_path / "backup.part").write_bytes(b"")
    with pytest.raises(SettingsError, match="File exists"):
        backups.save(settings, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_rows_are_loaded_whole_or_not_at_all(empty: Settings) -> None:
    empty.data_dir.mkdir()
    migrations.upgrade(empty.database)
    with pytest.raises(SettingsError):
        _load_half(empty.database)
    with target(empty.database) as filled:
        assert filled.is_empty("leases")


def _load_half(url: str) -> None:
    with target(url) as filled:
        filled.load("leases", ["name", "holder", "token", "expires_at"], [("a", "b", 1, 2)])
        raise SettingsError


def _falsify(tx: Tx) -> None:
    tx.run("UPDATE accounts SET balance_micros = balance_micros + 1")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_a_killed_server_left_beside_its_database_is_not_read_into_the_restored_one(
    settings: Settings, tmp_path: Path, suffix: str
) -> None:
    """SQLite would take it for the newest changes of whatever file has the name."""
    backups.save(settings, tmp_path / "backup")
    place = Settings(data_dir=tmp_path / "second")
    place.data_dir.mkdir()
    left = place.data_dir / f"{sqlite_path(place.database).name}{suffix}"
    left.write_bytes(b"precious")
    with pytest.raises(SettingsError, match="there is something of a database already"):
        bring(tmp_path / "backup", place)
    assert left.read_bytes() == b"precious"
    assert not sqlite_path(place.database).exists()


def test_what_root_brings_back_belongs_to_whom_the_directory_belongs_to(
    settings: Settings, empty: Settings, tmp_path: Path
) -> None:
    """The service, which is not root, must be able to read it."""
    empty.data_dir.mkdir()
    if os.geteuid() == 0:
        os.chown(empty.data_dir, NOBODY, NOBODY)
    owner = empty.data_dir.stat()
    backups.save(settings, tmp_path / "backup")
    with backups.alone(empty):
        bring(tmp_path / "backup", empty)
    made = list(empty.data_dir.iterdir())
    assert {path.name for path in made} >= {"pepper", "credentials.json", "serve.lock"}
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(owner.st_uid, owner.st_gid)}


def test_an_older_backup_is_not_loaded_past_the_revisions_that_came_since(
    settings: Settings, databases: Databases, tmp_path: Path
) -> None:
    """What they make of the rows there are would be left out."""
    backups.save(settings, tmp_path / "backup")
    revision = migrations.newest().encode()
    _rewrite(tmp_path / "backup", "manifest.json", lambda text: text.replace(b'"%b"' % revision, b'"0014"'))
    url = databases.migrated("postgresql")
    with pytest.raises(SettingsError, match="another schema"):
        bring(tmp_path / "backup", Settings(data_dir=tmp_path / "second", database_url=url))
    with target(url) as unchanged:
        assert all(unchanged.is_empty(table) for table in unchanged.tables())
