"""What happens between two requests to a cluster: others take the same card, answers fail, somebody is killed."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from berth.core.driver import (
    CreateOrder,
    NoCapacity,
    OutcomeUnknown,
    Power,
    Unreachable,
)
from berth.drivers.incus import IncusConfig, IncusDriver, Location, names, translate
from berth.drivers.incus.rooms import Grant
from tests.drivers.incus.acting import CARD, CARD_ADDRESS, ONE_CARD, PLACE, PLAIN, an_order, owners, perform
from tests.drivers.incus.engine import Engine


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
