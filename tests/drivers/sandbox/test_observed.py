"""A session in a sandbox for real: the observer's key opens it before it runs, its use is read, its own key opens it."""

from pathlib import Path

import asyncssh

from berth.base import banner, sshkeys
from berth.base.db import Database
from berth.base.login import Outcome, Visitor
from berth.core import sessions
from berth.core.driver import Power, Sighting
from berth.core.sessions import Session, Status
from berth.core.webhooks import Outcome as Delivery
from berth.drivers.sandbox import SandboxDriver
from berth.faces import huddle
from berth.loops import catalog, provisioning
from berth.loops import sessions as sessions_loop
from berth.loops.world import Courier, Letter, World
from tests import make
from tests.conftest import FakeClock
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox

STEPS = 100


def test_it_is_entered_before_it_runs_and_looked_at_while_it_does(
    db: Database, clock: FakeClock, tmp_path: Path
) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        observer = await db.write(sessions.observer, make.PEPPER)
        visitor = Visitor(observer.private_pem)
        world = World(
            db=db,
            clock=clock,
            drivers={make.PROVIDER: driver},
            install_id=rig.install_id,
            holder="test",
            probe=banner.answers,
            courier=Courier(never, huddle.render, make.PEPPER),
            login=visitor.run,
        )
        await catalog.tick(world)
        keys = sshkeys.make_rsa()
        opened = await db.write(
            sessions.open_session,
            make.project(db, credit="1000").by,
            make.session_spec(idle_threshold_minutes=30),
            make.SESSION_RULES,
            make.RULES,
            public_key=keys.public_line,
            pepper=make.PEPPER,
        )
        running = await until_it_runs(world, clock, opened.session)
        assert running.instance.ip is not None
        assert running.instance.ssh_port is not None
        place = (running.instance.ip, running.instance.ssh_port)
        await sessions_loop.tick(world)
        sample = (await db.read(sessions.find, running.id)).watch.sample  # type: ignore[union-attr]
        assert sample is not None
        assert sample.disk_free_gb is not None
        clock.advance(seconds=60)
        await sessions_loop.tick(world)
        sample = (await db.read(sessions.find, running.id)).watch.sample  # type: ignore[union-attr]
        assert sample is not None
        assert sample.cpu_percent is not None
        stranger = Visitor(sshkeys.make_ed25519("stranger").private_pem)
        assert (await stranger.run(*place, "root", "true", 20)).outcome is Outcome.REFUSED
        seen = Sighting(None, "handle", Power.RUNNING, ip=place[0], ssh_port=place[1])
        connection = await rig.connect(seen, key=asyncssh.import_private_key(keys.private_pem))
        assert (await connection.run("echo in")).stdout == "in\n"
        connection.close()
        await connection.wait_closed()

    in_sandbox(tmp_path, test)


async def never(_letter: Letter) -> Delivery:
    raise AssertionError("nobody is told anything here")


async def until_it_runs(world: World, clock: FakeClock, session: Session) -> Session:
    for _ in range(STEPS):
        await provisioning.tick(world)
        found = await world.db.read(sessions.find, session.id)
        assert found is not None
        assert found.status is not Status.FAILED, found.error
        if found.status is Status.RUNNING:
            return found
        clock.advance(seconds=5)
    raise AssertionError("it does not run")
