"""An operator's errands at own hosts: `berth incus image`, `evacuate`, `restore` and `guard`.

They take full rights at the cluster, so they are run on one of its members, over the socket there.
"""

import asyncio
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from berth import app, hosting
from berth.base.clock import SECOND, Instant, SystemClock, rfc3339
from berth.base.db import Database, Tx
from berth.core import instances
from berth.core.driver import DriverError
from berth.drivers.incus import IncusConfig, IncusDriver, image
from berth.drivers.incus.moving import Mover
from berth.settings import Settings, read

incus_cli = App(name="incus", help="Own GPU hosts.")
_BAD_USAGE = 2
_FAILED = 1

Socket = Annotated[
    Path | None, Parameter(help="Incus's socket on this member, where it is not `incus.socket`.")
]
DataDir = Annotated[Path | None, Parameter(help="Where the database is kept.")]
DatabaseUrl = Annotated[
    str | None, Parameter(help="postgresql://…; without it, SQLite in the data directory.")
]


@incus_cli.command(name="image")
def build_image(
    *,
    alias: Annotated[str, Parameter(help="What it is called at the cluster.")] = "debian-12",
    release: Annotated[
        str | None, Parameter(help="Debian's word for it; this host's own without it.")
    ] = None,
    package: Annotated[list[str] | None, Parameter(help="To be in it as well; may be given again.")] = None,
    socket: Socket = None,
) -> None:
    """Build a Debian image with its SSH entry from this host's own package sources, and publish it."""
    settings = read({})

    async def work(driver: IncusDriver, say: Callable[[str], None]) -> None:
        with tempfile.TemporaryDirectory(prefix="berth-image-") as directory:
            say("building")
            built = await image.build(Path(directory), release=release or _codename(), packages=package or ())
            say("publishing")
            fingerprint = await image.publish(driver.client, built, alias)
        Console().print(f"{alias} is {fingerprint[:12]}.", highlight=False)

    _perform(_config(settings, socket), work)


@incus_cli.command
def evacuate(
    member: str,
    *,
    in_: Annotated[
        int, Parameter(name="--in", help="Seconds from now; customers are told.", validator=Number(gte=0))
    ] = 0,
    socket: Socket = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Tell the customers on a member, wait, then take their instances elsewhere. Run again, it goes on.

    Nothing is placed there from the announcement until `berth incus restore`.
    """
    settings = read({"data_dir": data_dir, "database_url": database_url})
    config = _config(settings, socket)

    async def work(driver: IncusDriver, say: Callable[[str], None]) -> None:
        mover, clock = Mover(config, driver), SystemClock()
        at = await mover.announced(member)
        if at is None or in_:
            at = Instant(clock.now() + in_ * SECOND)
            await mover.announce(member, at)
        database = app.open_database(settings)
        try:
            told = tell(database, [label.instance_id for _, label in await mover.on(member)], at)
        finally:
            database.close()
        Console().print(f"{told} instances leave {member} at {rfc3339(at)}.", highlight=False)
        while (left_s := (at - clock.now()) // SECOND) > 0:
            say(f"{left_s} s left")
            await asyncio.sleep(min(left_s, 5))
        say(f"emptying {member}")
        failed = 0
        async for moved in mover.empty(member):
            where = f"is on {moved.member}" if moved.member else f"stays: {moved.problem}"
            failed += moved.member is None
            Console().print(f"{moved.label.instance_id} {where}", highlight=False)
        if failed:
            raise SystemExit(_FAILED)

    _perform(config, work)


@incus_cli.command
def restore(member: str, *, socket: Socket = None) -> None:
    """Let a member that was evacuated take part again."""
    config = _config(read({}), socket)

    async def work(driver: IncusDriver, say: Callable[[str], None]) -> None:
        say("restoring")
        await Mover(config, driver).restore(member)
        Console().print(f"{member} takes part again.", highlight=False)

    _perform(config, work)


@incus_cli.command
def guard(*, socket: Socket = None) -> None:
    """Have the engine count GPUs as well, wherever it places what names no member: a second lock. Again after new cards."""
    config = _config(read({}), socket)

    async def work(driver: IncusDriver, say: Callable[[str], None]) -> None:
        say("counting cards")
        for member, cards in sorted((await Mover(config, driver).guard()).items()):
            Console().print(f"{member} has {cards}.", highlight=False)

    _perform(config, work)


def tell(database: Database, instance_ids: list[str], at: Instant) -> int:
    """Announces it to the owners of the instances; how many are ours."""

    def announce(tx: Tx, instance_id: str) -> bool:
        found = instances.find(tx, instance_id)
        if found is not None:
            instances.will_be_taken(tx, found, evicts_at=at)
        return found is not None

    return sum(database.write_now(announce, instance_id) for instance_id in instance_ids)


def _config(settings: Settings, socket: Path | None) -> IncusConfig:
    try:
        config = hosting.config_of(settings.incus)
    except ValueError as error:
        _fail(str(error))
        raise
    # Our own certificate may not do what these do.
    return replace(config, addresses=(), socket=socket or config.socket, operation_s=3600.0)


def _perform(
    config: IncusConfig, work: Callable[[IncusDriver, Callable[[str], None]], Awaitable[None]]
) -> None:
    async def whole() -> None:
        driver = IncusDriver(config)
        try:
            with Progress(
                SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
                console=Console(stderr=True), transient=True,
            ) as progress:  # fmt: skip
                task = progress.add_task("connecting", total=None)
                await work(driver, lambda text: progress.update(task, description=text))
        finally:
            await driver.close()

    try:
        asyncio.run(whole())
    except DriverError as error:
        _fail(str(error), _FAILED)


def _codename() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    except OSError:
        return "stable"


def _fail(message: str, status: int = _BAD_USAGE) -> None:
    Console(stderr=True).print(f"[red]berth:[/red] {message}", highlight=False, soft_wrap=True)
    sys.exit(status)
