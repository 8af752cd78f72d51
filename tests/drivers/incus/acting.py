"""Drivers of a cluster that is stood in for, as several processes have them, and what they are asked for."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from berth.core.driver import (
    CreateOrder,
    Label,
    Place,
)
from berth.drivers.incus import IncusConfig, IncusDriver, Location, TypeSold, translate
from tests.drivers.incus.engine import Engine, answering

PLACE = Place("LAB-01", "Laboratory", "FI")
PLAIN = TypeSold("CPU", 1, 1, 1)
CARD = TypeSold("1H100", 1, 1, 1, gpu_model="H100", gpu_count=1, gpu_vram_gb=80)
CARD_ADDRESS = "0000:41:00.0"
ONE_CARD = {"gpu1": [CARD_ADDRESS]}
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
