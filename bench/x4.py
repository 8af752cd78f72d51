"""X4, what Berth adds to provisioning: from an accepted deploy to its SSH banner, beside the same instance started bare.

Bare means: by the engine's own client for `incus` (init, three files, start), by the launcher alone for `sandbox`, which has
no other client. Both create the same thing on the same host in turn, one at a time. Through Berth, the catalogue is taken in
first, the deploy is committed, and the service's own loop does the rest, woken as it is woken there.
"""

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import uvloop

from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from berth.app import LOOPS
from berth.base import banner
from berth.base.clock import SystemClock
from berth.base.db import Database
from berth.core import instances, projects, webhooks
from berth.core.driver import CreateOrder, Driver, Sighting
from berth.core.events import Actor
from berth.core.instances import Status
from berth.core.webhooks import Outcome
from berth.faces import huddle
from berth.loops import catalog
from berth.loops.loop import Runner
from berth.loops.world import Courier, Letter, World
from tests import make
from tests.drivers.incus import cluster as clusters
from tests.drivers.incus.rig import SHARED, IncusRig, open_incus
from tests.drivers.sandbox.rig import SandboxRig, open_sandbox

_COUNT, _QUICK_COUNT = 10, 3
_WITHIN_S = 60.0
_LOOK_S = 0.005
_ENOUGH = "1000000"
_ports = itertools.count(31_000)
Bare = Callable[[CreateOrder], Awaitable[tuple[float, Callable[[], Awaitable[None]]]]]
"""Starts what the order says; seconds to its banner, and how to end it."""


def run(databases: Databases, options: Options) -> list[Result]:
    count = _QUICK_COUNT if options.is_quick else _COUNT
    results = [_measure(databases, "sandbox", count)]
    reason = clusters.missing()
    if reason is None:
        try:
            results.append(_measure(databases, "incus", count))
        finally:
            SHARED.end()
    else:
        results[0].notes.append(f"Not measured for incus: {reason}.")
    return results


def _measure(databases: Databases, provider: str, count: int) -> Result:
    kept: dict[str, list[float]] = {"bare": [], "berth": []}

    def sample(name: str) -> Sample:
        ordered = sorted(kept[name])
        median = percentile(ordered, 50) * 1e3
        return Sample(median, p50_ms=median, p99_ms=percentile(ordered, 99) * 1e3)

    url = databases.migrated("sqlite")
    with opened(url) as db:
        uvloop.run(_in_turn(db, provider, count, kept))
    databases.drop(url)
    added = (percentile(sorted(kept["berth"]), 50) - percentile(sorted(kept["bare"]), 50)) * 1e3
    result = interleave(
        f"X4 from accept to SSH banner, {provider}",
        [
            Step("bare", "ms", lambda: sample("bare")),
            Step("through Berth", "ms", lambda: sample("berth")),
        ],
        rounds=1,
    )
    result.notes.append(
        f"Berth adds {added:,.0f} ms: the difference of the medians of {count} each, taken in turn."
    )
    return result


async def _in_turn(db: Database, provider: str, count: int, kept: dict[str, list[float]]) -> None:
    with tempfile.TemporaryDirectory(prefix="berth-x4-", dir="/var/tmp") as directory:
        install_id = await db.write(projects.installation_id)
        async with _rig(provider, Path(directory), install_id) as (rig, driver, bare):
            world = _world(db, provider, driver)
            await catalog.tick(world)
            runner = Runner(world, [loop for loop in LOOPS if loop.name == "provisioning"])
            db.on_signal = runner.poke
            runner.start()
            try:
                for _ in range(count):
                    seconds, end = await bare(rig.order())
                    kept["bare"].append(seconds)
                    await end()
                    kept["berth"].append(await _through_berth(db, runner, rig.order()))
            finally:
                await runner.stop(grace_s=5.0)


async def _through_berth(db: Database, runner: Runner, order: CreateOrder) -> float:
    """Seconds from the commit of the order to the commit that says that it runs, which follows its banner."""
    by = make.project(db, credit=_ENOUGH).by
    key = make.ssh_key(db, by)
    spec = make.spec(
        [key.id],
        instance_type=order.hardware.name,
        location=order.location,
        image_slug=order.image_slug,
        hostname=order.hostname,
    )
    made = await db.write(instances.order, by, spec, make.RULES)
    began = time.perf_counter()
    runner.poke("provisioning")
    await _until(db, by, made.id, Status.RUNNING)
    took = time.perf_counter() - began
    await db.write(instances.delete, by, made.id, make.RULES)
    runner.poke("provisioning")
    await _until(db, by, made.id, Status.DELETED)
    return took


async def _until(db: Database, by: Actor, instance_id: str, status: Status) -> None:
    deadline = time.perf_counter() + _WITHIN_S
    while (found := await db.read(instances.get, by, instance_id)).status is not status:
        assert time.perf_counter() < deadline, found
        await asyncio.sleep(_LOOK_S)


@contextlib.asynccontextmanager
async def _rig(
    provider: str, directory: Path, install_id: str
) -> AsyncIterator[tuple[IncusRig | SandboxRig, Driver, Bare]]:
    if provider == "incus":
        async with open_incus() as rig:
            rig.install_id = install_id
            yield rig, rig.driver(), lambda order: _bare_incus(rig, order)
    else:
        async with open_sandbox(directory, install_id=install_id) as sandbox_rig:
            sandbox_rig.install_id = install_id
            sandbox = sandbox_rig.driver()
            try:
                yield sandbox_rig, sandbox, lambda order: _bare_sandbox(sandbox, order)
            finally:
                await sandbox.close()


async def _bare_sandbox(driver: Driver, order: CreateOrder) -> tuple[float, Callable[[], Awaitable[None]]]:
    began = time.perf_counter()
    seen = await driver.create(order)
    assert await _greets(seen)
    took = time.perf_counter() - began

    async def end() -> None:
        await driver.destroy(seen.handle)
        deadline = time.perf_counter() + _WITHIN_S
        while await driver.inspect(order.label, seen.handle) is not None:
            assert time.perf_counter() < deadline, seen
            await asyncio.sleep(_LOOK_S)

    return took, end


async def _bare_incus(rig: IncusRig, order: CreateOrder) -> tuple[float, Callable[[], Awaitable[None]]]:
    member = rig.cluster.members[0]
    name, port = f"bare-{order.label.instance_id.lower()}", next(_ports)

    async def incus(*arguments: str, stdin: str | None = None) -> None:
        await asyncio.to_thread(rig.cluster.incus, member, *arguments, stdin=stdin)

    began = time.perf_counter()
    await incus(
        "init", order.image_slug, name, "--target", member.name, "-c", "limits.cpu=1", "-c", "limits.memory=1GiB",
        "-d", f"root,size={order.os_volume_gb}GiB",
    )  # fmt: skip
    await incus(
        "config",
        "device",
        "add",
        name,
        "ssh",
        "proxy",
        f"listen=tcp:0.0.0.0:{port}",
        "connect=tcp:127.0.0.1:22",
    )
    await incus(
        "file",
        "push",
        "-",
        f"{name}/root/.ssh/authorized_keys",
        "-p",
        "--mode=600",
        stdin=order.ssh_public_keys[0],
    )
    await incus("start", name)
    assert await banner.answers(member.ip, port, _WITHIN_S)
    took = time.perf_counter() - began
    return took, lambda: incus("delete", "--force", name)


async def _greets(seen: Sighting) -> bool:
    return await banner.answers(str(seen.ip), seen.ssh_port or 22, _WITHIN_S)


def _world(db: Database, provider: str, driver: Driver) -> World:
    async def post(_letter: Letter) -> Outcome:
        raise AssertionError("nobody has a webhook")

    return World(
        db=db,
        clock=SystemClock(),
        drivers={provider: driver},
        install_id=db.write_now(projects.installation_id),
        holder="bench",
        probe=banner.answers,
        courier=Courier(post, huddle.render, make.PEPPER, webhooks.Rules()),
    )
