"""`berth backup` and `berth restore`: all that the control plane knows, in one file, out of either engine into either.

A backup is one instant of the database, taken while servers work, with the pepper and the first project's
credentials. It holds no disks: those are the providers', also those of the sandbox.
"""

import contextlib
import fcntl
import hashlib
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from berth import __version__, app, migrations
from berth.base import db_rows
from berth.base.clock import SystemClock, rfc3339
from berth.base.db import connect, is_postgresql, sqlite_path
from berth.base.db_rows import Snapshot, Target
from berth.base.secrets import keep_names
from berth.commanding import DatabaseUrl, DataDir
from berth.core import ledger
from berth.process import release_everything
from berth.settings import Settings, SettingsError, read

FORMAT = 1
_MANIFEST = "manifest.json"
_PEPPER, _CREDENTIALS = "secrets/pepper", "secrets/credentials.json"
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, and reads into whatever has that name."""
_SMALL_BYTES = 1024 * 1024
"""The most that the manifest, or a secret, may be."""


class Part(msgspec.Struct, frozen=True):
    """One member of the file, as its manifest describes it."""

    sha256: str
    rows: int = 0
    columns: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is of. Written last: a file without one is not whole."""

    format: int
    version: str
    revision: str
    made_at: str
    parts: dict[str, Part]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts.values())


def register(cli: App) -> None:
    """Adds the commands of this module."""
    cli.command(backup)
    cli.command(restore)


def backup(
    file: Annotated[Path, Parameter(help="Where to; it must not exist yet.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write everything that Berth knows into one file (mode 0600), while servers go on working."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    if not is_postgresql(settings.database) and not sqlite_path(settings.database).exists():
        raise SettingsError(f"there is nothing to back up in {settings.data_dir}")
    manifest = save(settings, file)
    _tell(f"{file}: {manifest.rows} rows of {len(manifest.parts)} parts, schema {manifest.revision}.")
    problems = books(settings.database)
    for problem in problems:
        _tell(problem)
    if problems:
        _tell("The backup was written, but the books in it disagree.")
        sys.exit(1)


def restore(
    file: Annotated[Path, Parameter(help="A file that `berth backup` wrote.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    despite_books: Annotated[
        bool, Parameter(negative=(), help="Also a backup whose books disagree, to find out why.")
    ] = False,
) -> None:
    """Bring a backup back, into an empty database and data directory. Nothing that exists is overwritten."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    with opened(file) as (archive, manifest), alone(settings):
        bring_back(settings, archive, manifest, despite_books=despite_books)
    problems = books(settings.database) if despite_books else []
    for problem in problems:
        _tell(problem)
    agreement = "disagree" if problems else "agree"
    _tell(
        f"{manifest.rows} rows as of {manifest.made_at}; the books {agreement}. Start `berth serve` when ready."
    )
    _tell(
        f"What was made at providers after that is unknown here: it is reported, and destroyed"
        f" {settings.loops.orphan_grace_s} seconds later (loops.orphan_grace_s)."
    )


def save(settings: Settings, file: Path) -> Manifest:
    """Writes the backup; it appears under its name once it is whole and durable. Raises SettingsError."""
    part = file.with_name(f"{file.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SettingsError(f"{part}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                manifest = _write(settings, archive)
            raw.flush()
            os.fsync(raw.fileno())
        os.link(part, file)  # unlike a rename it never replaces what is there
        keep_names(file.parent)
    except FileExistsError as error:
        raise SettingsError(f"{file}: exists already") from error
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _write(settings: Settings, archive: zipfile.ZipFile) -> Manifest:
    parts: dict[str, Part] = {}
    with db_rows.snapshot(settings.database) as snapshot:
        revision = snapshot.revision()
        if revision is None:
            raise SettingsError("there is no schema of Berth's in this database")
        if not migrations.knows(revision):
            raise SettingsError(f"schema {revision} is of a newer Berth: make the backup with that")
        for table in migrations.tables():
            if columns := snapshot.columns(table):
                parts[_member(table)] = _write_table(archive, snapshot, table, columns)
    for name, path in ((_PEPPER, settings.pepper_path), (_CREDENTIALS, app.credentials_path(settings))):
        if path.exists():
            secret = path.read_bytes()
            archive.writestr(name, secret)
            parts[name] = Part(hashlib.sha256(secret).hexdigest())
    made_at = rfc3339(SystemClock().now())
    manifest = Manifest(FORMAT, __version__, revision, made_at, parts)
    archive.writestr(_MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _write_table(archive: zipfile.ZipFile, snapshot: Snapshot, table: str, columns: Sequence[str]) -> Part:
    digest, count = hashlib.sha256(), 0
    with archive.open(_member(table), "w", force_zip64=True) as member:
        for row in snapshot.rows(table, columns):
            line = msgspec.json.encode(row) + b"\n"
            digest.update(line)
            member.write(line)
            count += 1
    return Part(digest.hexdigest(), count, tuple(columns))


@contextlib.contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Raises SettingsError for what is no whole backup, or one that this release cannot read."""
    try:
        archive = zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise SettingsError(f"{file}: {error}") from error
    with archive:
        try:
            manifest = msgspec.json.decode(_small(archive, _MANIFEST), type=Manifest)
        except (KeyError, msgspec.DecodeError, zipfile.BadZipFile) as error:
            raise SettingsError(f"{file}: no backup of Berth: {error}") from error
        if manifest.format != FORMAT or not migrations.knows(manifest.revision):
            raise SettingsError(f"{file}: made by Berth {manifest.version}, which is newer than this one")
        yield archive, manifest


def bring_back(
    settings: Settings, archive: zipfile.ZipFile, manifest: Manifest, *, despite_books: bool
) -> None:
    """Raises SettingsError, and leaves nothing behind, where something is in the way or the backup is damaged."""
    secrets = [
        (path, secret)
        for name, path in ((_PEPPER, settings.pepper_path), (_CREDENTIALS, app.credentials_path(settings)))
        if (secret := _secret(archive, manifest, name)) is not None and not _is_there(path, secret)
    ]
    if is_postgresql(settings.database):
        _check_empty(settings.database, manifest.revision)
        _fill(settings.database, archive, manifest, despite_books=despite_books)
        _keep(secrets)
        return
    path = sqlite_path(settings.database)
    if path.exists():
        raise SettingsError(f"{path}: there is a database already")
    for suffix in _BESIDE:
        left = path.with_name(path.name + suffix)
        if left.exists():
            raise SettingsError(f"{left}: there is something of a database already")
    fresh = path.with_name(f"{path.name}.restoring")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _remove(fresh)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        _hand_over(descriptor, fresh)
        os.close(descriptor)
        _fill(f"sqlite:///{fresh}", archive, manifest, despite_books=despite_books)
        _keep(secrets)
        fresh.rename(path)
    finally:
        _remove(fresh)


def _check_empty(url: str, revision: str) -> None:
    with db_rows.snapshot(url) as seen:
        there = seen.revision()
    if there not in {None, revision}:
        # What the revisions between make of rows would not be made of those of the backup.
        raise SettingsError(
            f"the database has another schema, {there}, than the backup, {revision}: give one without tables"
        )
    with db_rows.target(url) as target:
        full = [table for table in target.tables() if not target.is_empty(table)]
    if full:
        raise SettingsError(f"the database is not empty: there is something in {', '.join(full[:5])}")


def _fill(url: str, archive: zipfile.ZipFile, manifest: Manifest, *, despite_books: bool) -> None:
    migrations.upgrade(url, manifest.revision)
    with db_rows.target(url) as target:
        for name, part in manifest.parts.items():
            if part.columns:
                _load(target, archive, name, part)
    migrations.upgrade(url)
    problems = [] if despite_books else books(url)
    if problems:
        with db_rows.target(url) as target:
            for table in target.tables():
                target.clear(table)
        raise SettingsError("the books in it disagree: " + "; ".join(problems))
    with contextlib.closing(connect(url, SystemClock())) as database:
        database.write_now(release_everything)


def _load(target: Target, archive: zipfile.ZipFile, name: str, part: Part) -> None:
    table = name.removeprefix("tables/").removesuffix(".jsonl")
    if table not in target.tables():
        raise SettingsError(f"{name}: no table of this release")
    digest, count = hashlib.sha256(), 0

    def rows() -> Iterator[Sequence[object]]:
        nonlocal count
        with archive.open(name) as member:
            for line in member:
                digest.update(line)
                count += 1
                yield msgspec.json.decode(line, type=list[int | str | None])

    try:
        target.load(table, part.columns, rows())
    except (KeyError, EOFError, zipfile.BadZipFile, zlib.error, msgspec.DecodeError) as error:
        raise SettingsError(f"{name}: damaged: {error}") from error
    if (digest.hexdigest(), count) != (part.sha256, part.rows):
        raise SettingsError(f"{name}: damaged: not what was written")


def books(url: str) -> list[str]:
    """A sentence for each account whose balance is not the sum of its rows."""
    with contextlib.closing(connect(url, SystemClock())) as database:
        return database.read_now(ledger.verify)


def _secret(archive: zipfile.ZipFile, manifest: Manifest, name: str) -> bytes | None:
    part = manifest.parts.get(name)
    if part is None:
        return None
    try:
        secret = _small(archive, name)
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise SettingsError(f"{name}: damaged: {error}") from error
    if hashlib.sha256(secret).hexdigest() != part.sha256:
        raise SettingsError(f"{name}: damaged: not what was written")
    return secret


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        return member.read(_SMALL_BYTES)


def _is_there(path: Path, secret: bytes) -> bool:
    """Replicas have theirs already. Raises SettingsError for another one."""
    if not path.exists():
        return False
    if path.read_bytes() != secret:
        raise SettingsError(f"{path}: is there already, and is another than that of the backup")
    return True


def _keep(secrets: Sequence[tuple[Path, bytes]]) -> None:
    for path, secret in secrets:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            _hand_over(file.fileno(), path)
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Keeps `berth serve` from starting on the directory meanwhile."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.data_dir / "serve.lock").open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"`berth serve` uses {settings.data_dir}") from error
        _hand_over(file.fileno(), settings.data_dir / "serve.lock")
        yield


def _hand_over(descriptor: int, path: Path) -> None:
    """Root restores what a service of its own account is to read: its files are the directory's owner's."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _remove(path: Path) -> None:
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()


def _member(table: str) -> str:
    return f"tables/{table}.jsonl"


def _tell(sentence: str) -> None:
    Console(stderr=True).print(sentence, highlight=False, markup=False, soft_wrap=True)
