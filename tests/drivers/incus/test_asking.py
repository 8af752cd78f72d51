"""Answers that come late, fail, or do not come: what is waited for, and what takes longer than one who asks can wait."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from berth.core.driver import (
    Mount,
    OutcomeUnknown,
    Power,
    Sighting,
    Unreachable,
    VolumeOrder,
)
from berth.drivers.incus import IncusConfig, IncusDriver, Location, names
from tests.drivers.incus.acting import PLACE, PLAIN, an_order, perform
from tests.drivers.incus.engine import Engine, reached
from tests.drivers.incus.rig import certificate


def test_what_takes_longer_than_one_wait_is_waited_for_again(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        error = {"type": "error", "error": "context deadline exceeded", "error_code": 500}
        done = {"type": "sync", "metadata": {"status": "Success"}}
        order = an_order(PLAIN)
        ours = driver()
        # The engine answers a wait that ends before its operation with success as its status and an error in the body.
        engine.waits = [(200, error), (200, error), (200, done)]
        assert (await ours.create(order)).power is Power.RUNNING
        assert engine.waits == []

    perform(tmp_path, {"gpu1": []}, test)


def test_a_wait_that_is_not_answered_says_nothing_of_what_is_waited_for(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours = driver()
        seen = await ours.create(an_order(PLAIN))
        await ours.stop(seen.handle, release=False)
        error = {"type": "error", "error": "Some query failed", "error_code": 500}
        engine.waits = [(500, error)]
        with pytest.raises(OutcomeUnknown):
            await ours.start(seen.handle)

    perform(tmp_path, {"gpu1": []}, test)


async def a_volume_and_an_instance_elsewhere(driver: Callable[..., IncusDriver]) -> tuple[str, Sighting]:
    one, other = (driver(locations=(Location(PLACE, frozenset({name})),)) for name in ("gpu1", "gpu2"))
    volume = await one.create_volume(VolumeOrder(an_order().label, "data", "NVMe", 1, PLACE.code))
    return volume.handle, await other.create(an_order(PLAIN))


def test_a_volume_that_is_long_on_its_way_is_copied_once(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        volume, seen = await a_volume_and_an_instance_elsewhere(driver)
        ours, is_copied = driver(), asyncio.Event()

        async def takes_long() -> None:
            await is_copied.wait()

        engine.before("POST", "/volumes/custom", takes_long)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ours.attach_volume(seen.handle, Mount(volume, "data"))
            for touch in (ours.resize_volume(volume, 2), ours.destroy_volume(volume)):
                with pytest.raises(Unreachable):
                    await touch
        is_copied.set()
        await ours.attach_volume(seen.handle, Mount(volume, "data"))
        assert engine.count("POST", "/volumes/custom") == 2, "it was made, and copied once"
        assert list(engine.volumes) == [("gpu2", volume)]
        assert volume in engine.instances[seen.handle]["devices"]

    perform(tmp_path, {"gpu1": [], "gpu2": []}, test)


def test_a_copy_that_another_process_has_under_way_is_let_alone(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        volume, seen = await a_volume_and_an_instance_elsewhere(driver)
        there = ("gpu2", volume)
        config = engine.volumes["gpu1", volume]["config"]
        engine.volumes[there] = {"config": {**config, names.MOVES: "1"}}
        path = f"/1.0/storage-pools/default/volumes/custom/{volume}?project=default"
        engine.operations = [{"resources": {"storage_volumes": [path]}}]
        ours = driver()
        with pytest.raises(Unreachable):
            await ours.attach_volume(seen.handle, Mount(volume, "data"))
        assert there in engine.volumes
        engine.operations = []
        await ours.attach_volume(seen.handle, Mount(volume, "data"))
        assert list(engine.volumes) == [there]

    perform(tmp_path, {"gpu1": [], "gpu2": []}, test)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_no_answer_about_a_wait_is_one_about_what_is_waited_for(tmp_path: Path, status: int) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        engine.waits = [(status, {"type": "error", "error": "not authorized", "error_code": status})]
        with pytest.raises(OutcomeUnknown):
            await driver().create(an_order(PLAIN))
        assert len(engine.instances) == 1, "it may be starting"

    perform(tmp_path, {"gpu1": []}, test)


def test_a_volume_is_made_where_a_host_answers(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        order = VolumeOrder(an_order().label, "data", "NVMe", 1, PLACE.code)
        engine.fail("GET", "/storage-pools/default/resources", 503, "Unable to connect")
        made = await driver().create_volume(order)
        assert list(engine.volumes) == [("gpu2", made.handle)]

    perform(tmp_path, {"gpu1": [], "gpu2": []}, test)


def test_a_member_that_is_frozen_is_passed_over_and_nothing_is_unknown(tmp_path: Path) -> None:
    async def whole() -> None:
        certificate(tmp_path, "cluster")
        certificate(tmp_path, "ours")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cluster.crt", tmp_path / "cluster.key")
        der = ssl.PEM_cert_to_DER_cert((tmp_path / "cluster.crt").read_text())
        engine = Engine({"gpu1": []})
        async with reached(engine, context) as first, reached(engine, context) as second:
            driver = IncusDriver(
                IncusConfig(
                    types=(PLAIN,),
                    images=(),
                    locations=(Location(PLACE, frozenset({"gpu1"})),),
                    addresses=[f"https://127.0.0.1:{each.port}" for each in (first, second)],
                    certificate=tmp_path / "ours.crt",
                    key=tmp_path / "ours.key",
                    server_fingerprint=hashlib.sha256(der).hexdigest(),
                    timeout_s=2.0,
                )
            )
            try:
                order = an_order(PLAIN)
                await driver.stock.members()
                await first.stop()
                # Its kernel takes connections, and nobody answers them.
                with socket.create_server(("127.0.0.1", first.port)):
                    body = {"name": names.instance(order.label)}
                    await driver.client.change("POST", "/1.0/instances", body, target="gpu1")
                assert list(engine.instances) == [names.instance(order.label)]
            finally:
                await driver.close()

    asyncio.run(whole())


def test_many_that_are_waited_for_leave_room_for_a_question(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours, is_done = driver(), asyncio.Event()

        async def takes_long() -> None:
            await is_done.wait()

        for _ in range(40):
            engine.before("POST", "/files", takes_long)
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(ours.client.put_file("one", f"/{number}", b"", mode="0600"))
            await asyncio.sleep(0)
            await asyncio.wait_for(ours.stock.members(), 2)
            is_done.set()

    perform(tmp_path, {"gpu1": []}, test)


_MOUNTED = 'Failed to write backup file: Failed to create mount directory "/x/one": mkdir /x/one: file exists'


@pytest.mark.parametrize(("method", "end"), [("POST", "/files"), ("PUT", "")])
def test_two_requests_that_mount_a_disk_in_one_moment_cost_nobody_an_order(
    tmp_path: Path, method: str, end: str
) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours, order = driver(), an_order(PLAIN)
        engine.fail("POST", f"{names.instance(order.label)}/files", 500, "no route to host")
        with pytest.raises(OutcomeUnknown):
            await ours.create(order)
        engine.fail(method, f"{names.instance(order.label)}{end}", 400, _MOUNTED)
        assert (await ours.create(order)).power is Power.RUNNING

    perform(tmp_path, {"gpu1": []}, test)


def test_what_another_call_is_still_making_is_let_alone_until_it_is_made(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours, order = driver(), an_order(PLAIN)
        name = names.instance(order.label)
        engine.fail("POST", f"{name}/files", 500, "no route to host")
        with pytest.raises(OutcomeUnknown):
            await ours.create(order)
        engine.operations = [
            "no operation",
            {"id": "7", "resources": {"instances": [f"/1.0/instances/{name}?project=default"]}},
        ]
        touched = len(engine.seen)
        seen_before_its_end: list[str] = []

        async def is_made() -> None:
            seen_before_its_end.extend(engine.seen[touched:])
            engine.operations = []

        engine.waits = [(200, {"type": "sync", "metadata": {"status": "Success"}})]
        engine.before("GET", "/operations/7/wait", is_made)
        assert (await ours.create(order)).power is Power.RUNNING
        assert seen_before_its_end
        assert all(each.startswith("GET ") for each in seen_before_its_end)

    perform(tmp_path, {"gpu1": []}, test)
