"""What happens between two requests to a cluster: others take the same card, answers fail, somebody is killed."""

import asyncio
import hashlib
import itertools
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from berth.core.driver import (
    CreateOrder,
    Label,
    Mount,
    NoCapacity,
    OutcomeUnknown,
    Place,
    Power,
    Sighting,
    Unreachable,
    VolumeOrder,
)
from berth.drivers.incus import IncusConfig, IncusDriver, Location, TypeSold, names, translate
from berth.drivers.incus.rooms import Grant
from tests.drivers.incus.engine import Engine, answering, reached
from tests.drivers.incus.rig import certificate

PLACE = Place("LAB-01", "Laboratory", "FI")
PLAIN = TypeSold("CPU", 1, 1, 1)
CARD = TypeSold("1H100", 1, 1, 1, gpu_model="H100", gpu_count=1, gpu_vram_gb=80)
ONE_CARD = {"gpu1": ["0000:41:00.0"]}
_numbers = itertools.count(1)
Test = Callable[[Engine, Callable[..., IncusDriver]], Awaitable[None]]


def perform(directory: Path, cards: dict[str, list[str]], test: Test) -> None:
    """The test gets the cluster, and what makes drivers of it as other processes would have them."""

    async def whole() -> None:
        engine, drivers = Engine(cards), list[IncusDriver]()
        async with answering(engine, directory) as path:

            def driver(**settings: Any) -> IncusDriver:
                config = IncusConfig(
                    types=(PLAIN, CARD),
                    images=(),
                    socket=path,
                    locations=(Location(PLACE, frozenset(cards)),),
                )
                drivers.append(IncusDriver(replace(config, **settings)))
                return drivers[-1]

            try:
                await asyncio.wait_for(test(engine, driver), 20)
            finally:
                for each in drivers:
                    await each.close()

    asyncio.run(whole())


def an_order(sold: TypeSold = CARD, **changes: Any) -> CreateOrder:
    order = CreateOrder(
        label=Label("0a1b2c3d4e", f"{next(_numbers):026}"),
        provider_offer_id=translate.offer_id(sold.name, PLACE.code),
        hardware=translate.hardware(sold),
        hostname="trainer",
        image_slug="debian-12",
        ssh_user="root",
        location=PLACE.code,
        ssh_public_keys=["ssh-ed25519 AAAA"],
        os_volume_gb=10,
    )
    return replace(order, **changes)


def owners(engine: Engine, pci: str) -> list[str]:
    """Of the instances that run with a card."""
    return [
        each["name"]
        for each in engine.instances.values()
        if each["status"] == "Running"
        and any(device.get("pci") == pci for device in each["devices"].values())
    ]


def test_an_instance_is_made_and_started_with_all_that_is_its_owners(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        order = an_order(startup_script="#!/bin/sh\n", environment={"GREETING": "hello"})
        seen = await driver().create(order)
        assert (seen.power, seen.ip) == (Power.RUNNING, "192.0.2.1")
        assert owners(engine, "0000:41:00.0") == [seen.handle]
        assert {path: mode for path, (mode, _) in engine.files[seen.handle].items()} == {
            "/etc/ssh/ssh_host_ed25519_key": "0600",
            "/etc/ssh/ssh_host_ed25519_key.pub": "0644",
            "/root/.ssh": "0700",
            "/root/.ssh/authorized_keys": "0600",
            "/etc/hostname": "0644",
            "/etc/hosts": "0644",
            "/etc/environment": "0644",
            "/var/lib/berth": "0700",
            "/var/lib/berth/startup-script": "0700",
        }
        assert seen.ssh_host_key_fingerprint
        assert engine.count("PUT", seen.handle) == 0, "it was made with all that is said of it"
        assert engine.most_at_once >= 5, "its files are written at once"

    perform(tmp_path, ONE_CARD, test)


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


CARD_ADDRESS = ONE_CARD["gpu1"][0]


def left_behind(engine: Engine, order: CreateOrder, port: int = 20_500) -> str:
    """What a process made that was killed before it looked at what others had made meanwhile."""
    config = IncusConfig(types=(CARD,), images=())
    body = translate.instance_body(order, CARD, Grant("gpu1", [CARD_ADDRESS], port), config)
    return str(engine.add("gpu1", **body)["name"])


def test_who_takes_a_card_again_yields_to_who_took_it_first_however_young(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours, others = driver(), driver()
        old = await ours.create(an_order())
        await ours.stop(old.handle)
        young = an_order()

        async def others_are_first() -> None:
            await others.create(young)

        engine.before("PUT", old.handle, others_are_first)
        with pytest.raises(NoCapacity):
            await ours.start(old.handle)
        assert owners(engine, CARD_ADDRESS) == [names.instance(young.label)]
        assert not translate.use(engine.instances[old.handle]).cards

    perform(tmp_path, ONE_CARD, test)


def test_a_card_that_is_being_taken_again_is_given_to_nobody_meanwhile(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours = driver()
        old = await ours.create(an_order())
        await ours.stop(old.handle)

        async def another_comes() -> None:
            with pytest.raises(NoCapacity):
                await ours.create(an_order())

        engine.before("PUT", old.handle, another_comes)
        await ours.start(old.handle)
        assert owners(engine, CARD_ADDRESS) == [old.handle]

    perform(tmp_path, ONE_CARD, test)


def test_what_a_killed_process_made_is_not_started_with_a_card_that_another_has(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours = driver()
        first = await ours.create(an_order())
        order = an_order()
        name = left_behind(engine, order)
        with pytest.raises(NoCapacity):
            await ours.create(order)
        assert owners(engine, CARD_ADDRESS) == [first.handle]
        assert name not in engine.instances

    perform(tmp_path, ONE_CARD, test)


def test_what_a_killed_process_took_again_is_not_started_with_a_card_that_another_has(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours, order = driver(), an_order()
        name = left_behind(engine, order)
        await ours.create(order)
        await ours.stop(name, release=False)
        second = left_behind(engine, an_order())
        engine.instances[second] |= {"status": "Running", "last_used_at": "2026-01-02T00:00:00Z"}
        with pytest.raises(NoCapacity):
            await ours.start(name)
        assert owners(engine, CARD_ADDRESS) == [second]
        assert not translate.use(engine.instances[name]).holds

    perform(tmp_path, ONE_CARD, test)


def test_nothing_is_placed_where_nobody_can_say_who_has_what(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours = driver()
        await ours.create(an_order())
        engine.silent.add("gpu1")
        assert {offer.free_units for offer in await ours.stock.offers()} == {0}
        for sold in (CARD, PLAIN):
            with pytest.raises(NoCapacity):
                await ours.create(an_order(sold))
        assert len(engine.instances) == 1

    perform(tmp_path, ONE_CARD, test)


def test_nothing_is_started_while_nobody_can_say_who_else_has_its_card(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours, order = driver(), an_order()

        async def falls_silent() -> None:
            engine.silent.add("gpu1")

        engine.after("POST", "/1.0/instances", falls_silent)
        with pytest.raises(Unreachable):
            await ours.create(order)
        assert owners(engine, CARD_ADDRESS) == []
        engine.silent.clear()
        assert (await ours.create(order)).power is Power.RUNNING

    perform(tmp_path, ONE_CARD, test)


def test_a_port_that_somebody_listens_on_is_passed_over_whatever_others_have(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        far = {"type": "proxy", "listen": "tcp:0.0.0.0:29999", "connect": "tcp:127.0.0.1:80"}
        engine.add("gpu1", name="somebodys", devices={"web": far})
        engine.busy_ports = {20_000, 20_001}
        seen = await driver().create(an_order(PLAIN))
        assert (seen.power, seen.ssh_port) == (Power.RUNNING, 20_002)

    perform(tmp_path, {"gpu1": []}, test)


def test_one_with_a_port_that_another_has_elsewhere_can_be_started_again(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        ours = driver()
        away = await driver(locations=(Location(PLACE, frozenset({"gpu1"})),)).create(an_order())
        engine.silent.add("gpu1")
        seen = await ours.create(an_order())
        engine.silent.clear()
        assert (seen.ip, seen.ssh_port) == ("192.0.2.2", away.ssh_port), "its port was not to be seen"
        await ours.stop(seen.handle)
        await ours.start(seen.handle)
        assert engine.instances[seen.handle]["status"] == "Running"

    perform(tmp_path, {**ONE_CARD, "gpu2": [CARD_ADDRESS]}, test)


def test_users_other_than_root_can_read_their_keys(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        seen = await driver().create(an_order(PLAIN, ssh_user="debian"))
        modes = {path: mode for path, (mode, _) in engine.files[seen.handle].items() if ".ssh" in path}
        # They are root's: SSH servers take them all the same, as long as nobody else can write there.
        assert modes == {"/home/debian/.ssh": "0755", "/home/debian/.ssh/authorized_keys": "0644"}

    perform(tmp_path, {"gpu1": []}, test)


def test_wherever_a_create_is_killed_the_same_create_finishes_it(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        for requests in itertools.count(1):
            order = an_order(startup_script="#!/bin/sh\n")
            run = asyncio.create_task(driver().create(order))
            engine.kill = (requests, run.cancel)
            await asyncio.wait([run])
            if not run.cancelled():
                break
            ours = driver()
            seen = await ours.create(order)
            assert seen.power is Power.RUNNING, requests
            assert owners(engine, CARD_ADDRESS) == [seen.handle]
            key = asyncssh.import_private_key(
                engine.files[seen.handle]["/etc/ssh/ssh_host_ed25519_key"][1].decode()
            )
            assert seen.ssh_host_key_fingerprint == key.get_fingerprint()
            assert "/var/lib/berth/startup-script" in engine.files[seen.handle]
            await ours.destroy(seen.handle)
            assert engine.instances == {}
        assert requests > 15, "each of them was the last of a call"

    perform(tmp_path, ONE_CARD, test)


def test_wherever_a_stop_or_a_start_is_killed_the_same_again_finishes_it(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        seen = await driver().create(an_order())

        async def until_done(act: Callable[[IncusDriver], Awaitable[None]], is_on: bool) -> None:
            for requests in itertools.count(1):
                run = asyncio.ensure_future(act(driver()))
                engine.kill = (requests, run.cancel)
                await asyncio.wait([run])
                ours = driver()
                await act(ours)
                assert owners(engine, CARD_ADDRESS) == ([seen.handle] if is_on else []), requests
                free = {each.hardware.name: each.free_units for each in await ours.stock.offers()}
                assert free[CARD.name] == (0 if is_on else 1)
                if not run.cancelled():
                    return
                await (ours.stop(seen.handle) if is_on else ours.start(seen.handle))

        await until_done(lambda each: each.stop(seen.handle), is_on=False)
        await until_done(lambda each: each.start(seen.handle), is_on=True)

    perform(tmp_path, ONE_CARD, test)


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


def test_a_virtual_machine_is_told_at_its_creation_what_is_its_owners(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        sold = replace(PLAIN, name="VM", is_virtual_machine=True)
        ours = driver(types=(sold,), ssh="address")
        script = "#!/bin/sh\necho 'one: {two}' >> /root/said\n"
        order = an_order(sold, startup_script=script, environment={"GREETING": "hello"})
        seen = await ours.create(order)
        found = engine.instances[seen.handle]
        assert (found["type"], seen.power) == ("virtual-machine", Power.RUNNING)
        assert seen.handle not in engine.files, "nothing can be written into one that is off"
        head, _, body = found["config"]["cloud-init.user-data"].partition("\n")
        assert head == "#cloud-config"
        said = json.loads(body)
        key = asyncssh.import_private_key(said["ssh_keys"]["ed25519_private"])
        assert seen.ssh_host_key_fingerprint == key.get_fingerprint()
        assert said["users"] == [{"name": "root", "ssh_authorized_keys": ["ssh-ed25519 AAAA"]}]
        assert (said["hostname"], said["disable_root"]) == ("trainer", False)
        written = {each["path"]: each["content"] for each in said["write_files"]}
        assert written["/var/lib/berth/startup-script"] == script
        assert written["/etc/environment"] == 'GREETING="hello"\n'
        assert len(said["runcmd"]) == 1
        assert found["devices"]["berth-init"] == {"type": "disk", "source": "cloud-init:config"}

    perform(tmp_path, {"gpu1": []}, test)


def test_a_virtual_machine_whose_create_broke_off_is_started_with_the_key_that_it_has(tmp_path: Path) -> None:
    async def test(engine: Engine, driver: Callable[..., IncusDriver]) -> None:
        sold = replace(PLAIN, name="VM", is_virtual_machine=True)
        order = an_order(sold, ssh_user="debian")
        settings: dict[str, Any] = {"types": (sold,), "ssh": "address"}
        engine.fail("PUT", "/state", 500, "Some query failed")
        with pytest.raises(OutcomeUnknown):
            await driver(**settings).create(order)
        config = dict(engine.instances[names.instance(order.label)]["config"])
        seen = await driver(**settings).create(order)
        assert (seen.power, seen.ssh_user) == (Power.RUNNING, "debian")
        assert engine.instances[seen.handle]["config"] == config

    perform(tmp_path, {"gpu1": []}, test)
