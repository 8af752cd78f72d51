"""The `berth` command: starts processes and does an operator's short errands."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import structlog
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console

from berth import (
    __version__,
    app,
    auditing,
    backups,
    demonstration,
    operating,
    reporting,
    serving,
    shopping,
)
from berth.base import log
from berth.base.clock import SystemClock
from berth.base.db import DatabaseUnavailable, Tx, is_postgresql
from berth.commanding import DatabaseUrl, DataDir, database_of, dollars, fail
from berth.core import events, ledger, projects
from berth.core.errors import Refusal
from berth.core.events import Search
from berth.incus_operating import incus_cli
from berth.process import Process
from berth.project_commands import project_cli, shown
from berth.settings import Settings, SettingsError, read

cli = App(name="berth", version=__version__, help="A GPU cloud in a box.")
cli.command(project_cli)
report_cli = App(name="report", help="What the books say.")
cli.command(report_cli)
backups.register(cli)
shopping.register(cli)
cli.command(incus_cli)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line. A mistake in it, or in a setting, ends with one sentence and status 2."""
    try:
        cli(arguments)
    except (SettingsError, Refusal, DatabaseUnavailable) as error:
        fail(str(error))
    except shopping.Failed as error:
        fail(str(error), status=error.exit_status)


@cli.command
def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="TCP port to listen on.")] = None,
    data_dir: DataDir = None,
    simulate: Annotated[bool | None, Parameter(help="Offer a pretended catalogue of GPU types.")] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Serve the APIs and run the loops until SIGTERM. Instances keep running when it ends."""
    settings = read(
        {
            "data_dir": data_dir,
            "database_url": database_url,
            "simulate": simulate,
            "server": {"host": host, "port": port},
        }
    )
    log.configure(is_json=not sys.stderr.isatty())
    with _sole_process(settings), serving.bind(settings.server) as listener:
        process = app.build(settings)
        _introduce(process)
        address = f"http://{settings.server.host}:{settings.server.port}"
        ready = f"Berth {__version__} serves {address}/api/v1 (docs: {address}/api/v1/docs)"
        has_started = serving.serve(
            app.application(process),
            listener,
            settings.server,
            when_ready=lambda: _tell(ready),
            when_ending=process.context.readiness.drain,
        )
    if not has_started:
        sys.exit(1)


@cli.command
def work(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Run the loops alone, beside replicas that serve, on PostgreSQL."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    if not is_postgresql(settings.database):
        fail("work needs PostgreSQL (--database-url): a SQLite file has one process, which is `berth serve`.")
    log.configure(is_json=not sys.stderr.isatty())
    asyncio.run(_work(app.build(settings)))


@cli.command
def migrate(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to the newest schema."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    app.open_database(settings).close()
    Console().print("The schema is up to date.")


@cli.command
def demo() -> None:
    """Walk the quick start for real on this machine: deploy, SSH in, stop, start, delete, receipt."""
    sys.exit(demonstration.run())


@report_cli.command(name="margin")
def report_margin(
    *,
    by: Annotated[reporting.By, Parameter(help="What a line stands for.")] = "provider",
    from_: Annotated[
        str | None, Parameter(name="--from", help="From this instant on, such as 2026-04-01T00:00:00Z.")
    ] = None,
    to: Annotated[str | None, Parameter(help="Before this instant.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what was charged beside what providers charge for the same time."""
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        try:
            report = reporting.margins(database, by, from_, to)
        except ValueError as error:
            fail(str(error))
    if as_json:
        sys.stdout.write(json.dumps(reporting.as_json(report)) + "\n")
    else:
        Console().print(reporting.as_table(report, by))


@report_cli.command(name="books")
def report_books(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Check that every balance is the sum of its rows; status 1 and a sentence for each that is not."""
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        problems = database.read_now(ledger.verify)
    for problem in problems:
        sys.stdout.write(problem + "\n")
    if problems:
        sys.exit(1)
    Console().print("The books agree.")


@cli.command
def evict(
    instance: str,
    *,
    in_: Annotated[
        int, Parameter(name="--in", help="Seconds from now; its owner is told.", validator=Number(gte=0))
    ] = 0,
    reason: Annotated[str | None, Parameter(help="A sentence for its owner.")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take a spot instance away from its owner, at once or after a while. It pays to the second, and no minimum."""
    settings = read({"data_dir": data_dir, "database_url": database_url})
    found = auditing.core_id(instance) or instance
    with database_of(settings) as database:
        made = database.write_now(operating.evict, found, app.rules_of(settings), in_, reason)
    Console().print(f"{made.id} is {made.status.value}.", highlight=False)


@cli.command
def audit(
    *,
    project: Annotated[str | None, Parameter(help="A project's name.")] = None,
    actor: Annotated[str | None, Parameter(help="An API key's id, cli:<user> or loop:<name>.")] = None,
    event: Annotated[
        str | None, Parameter(name="--type", help="Such as api_key.revoked or api_key.*")
    ] = None,
    subject: Annotated[str | None, Parameter(help="The id of what was changed.")] = None,
    since: Annotated[str | None, Parameter(help="2026-04-03T10:00:00Z, or so long ago: 90m, 2h, 7d.")] = None,
    until: Annotated[str | None, Parameter(help="As --since.")] = None,
    limit: Annotated[int, Parameter(help="The newest so many.", validator=Number(gte=1, lte=100_000))] = 50,
    follow: Annotated[bool, Parameter(help="Go on with what happens from now on.", negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="One JSON object a line.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show who did what, when and from where, over all projects."""
    now = SystemClock().now()
    with database_of(read({"data_dir": data_dir, "database_url": database_url})) as database:
        try:
            search = Search(
                project=None if project is None else database.read_now(operating.project, project).id,
                actor=auditing.core_id(actor),
                type=event,
                subject=auditing.core_id(subject),
                since=auditing.parse_time(since, now),
                until=auditing.parse_time(until, now),
            )
        except ValueError as error:
            fail(str(error))
        names = {found.id: found.name for found, _ in database.read_now(projects.list_projects)}
        trail = auditing.Trail(database, search, names)
        _show_trail(trail, limit, follow=follow, as_json=as_json)


def _show_trail(trail: auditing.Trail, limit: int, *, follow: bool, as_json: bool) -> None:
    latest = trail.database.read_now(events.latest_seq)
    found = trail.newest(limit)
    if follow or as_json:
        for event in reversed(found):
            auditing.print_line(trail, event, as_json=as_json)
    else:
        auditing.print_table(trail, found)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for event in trail.follow(found[0].seq if found else latest):
                auditing.print_line(trail, event, as_json=as_json)


def _create_default(tx: Tx, settings: Settings, pepper: bytes) -> bool:
    """On an empty installation: the project `default`, its credentials in a file before the commit.

    In that order a crash leaves a file that the next start writes again, never a project nobody can enter.
    """
    operating.take_turn(tx)
    if projects.list_projects(tx, limit=1):
        return False
    made = operating.create(
        tx, app.DEFAULT_PROJECT, dollars(settings.billing.default_credit_usd, least=0), pepper
    )
    path = app.credentials_path(settings)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(shown(made), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return True


def _introduce(process: Process) -> None:
    """Says where the credentials are, and what an operator must know of each provider before trusting it."""
    settings = process.settings
    if process.database.write_now(_create_default, settings, process.context.pepper):
        _tell(f"Created project {app.DEFAULT_PROJECT}; its credentials: {app.credentials_path(settings)}")
    for name, driver in process.drivers.items():
        for note in driver.abilities.notes:
            _tell(f"{name}: {note}")


def _tell(sentence: str) -> None:
    Console(stderr=True).print(sentence, highlight=False, markup=False, soft_wrap=True)


async def _work(process: Process) -> None:
    stopping = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopping.set)
    try:
        await process.start()
        structlog.get_logger().info("working", holder=process.runner.world.holder)
        await stopping.wait()
    finally:
        await process.stop()


@contextlib.contextmanager
def _sole_process(settings: Settings) -> Iterator[None]:
    """One `serve` for one SQLite file: a second would wait on the first for every write."""
    if is_postgresql(settings.database):
        yield
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.data_dir / "serve.lock").open("w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(
                f"another `berth serve` uses {settings.data_dir}; replicas need PostgreSQL (--database-url)."
            )
        yield
