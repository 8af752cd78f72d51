"""A cluster of real sandboxes: ordered, reached over SSH, and with one home."""

import asyncio
from pathlib import Path

from berth.base import banner
from berth.base.clock import SystemClock
from berth.base.db import connect
from berth.core import clusters, keys
from berth.core.clusters import SharedVolume, View
from berth.core.driver import Power, Sighting
from berth.core.events import system
from berth.core.instances import Instance
from berth.core.webhooks import Outcome
from berth.drivers.sandbox import SandboxDriver
from berth.faces import huddle
from berth.loops import catalog, provisioning, volumes
from berth.loops import clusters as clusters_loop
from berth.loops.world import Courier, Letter, World
from tests import clustering, make
from tests.conftest import Databases
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox

TURNS = 1500
TURN_S = 0.02


def test_what_one_node_of_a_cluster_writes_at_home_the_others_read(
    tmp_path: Path, databases: Databases
) -> None:
    url = databases.migrated("sqlite")
    db = connect(url, SystemClock())

    async def post(_letter: Letter) -> Outcome:
        return Outcome(204, 1, None)

    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        world = World(
            db=db,
            clock=SystemClock(),
            drivers={"sandbox": driver},
            install_id=rig.install_id,
            holder="test",
            probe=banner.answers,
            courier=Courier(post, huddle.render, make.PEPPER, make.WEBHOOK_RULES),
        )
        await catalog.tick(world)
        by = make.project(db, credit="1000").by
        line = rig.key.export_public_key().decode()
        key = db.write_now(keys.add, by, name="laptop", public_key=line)
        spec = clustering.spec([key.id], shared_volume=SharedVolume("team", 100))
        cluster = db.write_now(clusters.order, by, spec, world.rules)
        view = await _until(world, cluster, "running")
        jump_host, *workers = [view.jump_host, *view.workers]
        assert len(workers) == 2
        await rig.run(_at(jump_host), "hostname > /home/written")
        for worker in workers:
            assert (
                await rig.run(_at(worker), "head -n 1 /home/written; hostname")
                == f"trainer\n{worker.hostname}\n"
            )
            await rig.run(_at(worker), "hostname >> /home/written")
        assert await rig.run(_at(jump_host), "cat /home/written") == "trainer\ntrainer-1\ntrainer-2\n"
        db.write_now(clusters.discontinue, by, cluster.id, world.rules)
        view = await _until(world, cluster, "discontinued")
        home = view.volumes[0]
        assert (home.status.value, home.attachments) == ("detached", ())
        kept = rig.config.state_dir / "volumes" / home.id / "content" / "written"
        assert kept.read_text().splitlines() == ["trainer", "trainer-1", "trainer-2"]

    try:
        in_sandbox(tmp_path, test)
    finally:
        db.close()
        databases.take_back(url)


async def _until(world: World, cluster: clusters.Cluster, status: str) -> View:
    for _ in range(TURNS):
        for tick in (volumes.tick, provisioning.tick, clusters_loop.tick):
            await tick(world)
        view = world.db.read_now(clusters.get, system(cluster.project, "test"), cluster.id)
        if view.cluster.status.value == status:
            return view
        await asyncio.sleep(TURN_S)
    raise AssertionError(f"it did not become {status}")


def _at(member: Instance) -> Sighting:
    return Sighting(None, member.id, Power.RUNNING, ip=member.ip, ssh_port=member.ssh_port)
