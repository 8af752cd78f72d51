"""What happens between two requests to a cluster: others take the same card, answers fail, somebody is killed."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from berth.core.driver import (
    CreateOrder,
    Label,
    OutcomeUnknown,
    Place,
    Power,
)
from berth.drivers.incus import IncusConfig, IncusDriver, Location, TypeSold, translate
from tests.drivers.incus.engine import Engine, answering

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
        async with answering(engine, directory) as socket:

            def driver(**settings: Any) -> IncusDriver:
                config = IncusConfig(
                    types=(PLAIN, CARD),
                    images=(),
                    socket=socket,
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
