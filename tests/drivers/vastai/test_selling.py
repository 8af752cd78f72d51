"""A whole Berth that sells what is on the market: its loops, its database, and logins with customers' keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from berth import app
from berth.core import instances, keys
from berth.core.driver import Driver
from berth.core.instances import Instance, Status
from berth.process import Process
from berth.settings import read
from tests import make
from tests.drivers.vastai.account import API_KEY
from tests.drivers.vastai.login import Logins
from tests.drivers.vastai.service import Service, serving
from tests.drivers.vastai.test_process import said_by

PAUSE_S = 0.05
LIMIT_S = 50


class Shop:
    """A Berth over the stand-in, and a customer with a key."""

    def __init__(self, process: Process, service: Service) -> None:
        self.process = process
        self.service = service
        self.db = process.database
        self.by = make.project(self.db, credit="1000").by
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        public = self.key.export_public_key().decode().strip()
        self.key_id = self.db.write_now(keys.add, self.by, name="laptop", public_key=public).id

    @property
    def provider(self) -> Driver:
        return self.process.drivers["vastai"]

    def order(self) -> Instance:
        spec = make.spec(
            [self.key_id],
            instance_type="1RTX4090.24V",
            location="US",
            image_slug="ubuntu-22.04-cuda-12.6",
            startup_script="#!/bin/sh\ntrue\n",
        )
        return self.db.write_now(instances.order, self.by, spec, make.RULES)

    async def until(self, made: Instance, is_so: Callable[[Instance], bool]) -> Instance:
        deadline = asyncio.get_running_loop().time() + LIMIT_S
        while True:
            now = make.now(self.db, made)
            if is_so(now):
                return now
            assert asyncio.get_running_loop().time() < deadline, now
            self.process.runner.poke("provisioning")
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def opened(directory: Path, database_url: str) -> AsyncIterator[Shop]:
    logins = Logins("127.0.0.1")
    service = Service(offers=20, logins=logins)
    async with serving(service) as url:
        settings = read(
            {
                "data_dir": directory,
                "database_url": database_url,
                "sandbox": {"is_enabled": False},
                "vastai": {"base_url": url, "api_key": API_KEY, "margin_percent": 20, "pace_permille": 0},
            },
            {},
        )
        process = app.build(settings)
        await process.start()
        try:
            yield Shop(process, service)
        finally:
            await process.stop()
            logins.close_all()


async def test_what_is_on_the_market_is_sold_entered_stopped_and_ended(
    tmp_path: Path, database_url: str
) -> None:
    async with opened(tmp_path, database_url) as shop:
        made = shop.order()
        (offer,) = [
            each for each in (await shop.provider.catalogue()).offers if each.hardware.name == "1RTX4090.24V"
        ][:1]
        running = await shop.until(made, lambda now: now.status is Status.RUNNING)
        assert (running.provider, running.price) == ("vastai", -(-offer.cost_micros_per_hour * 12 // 10))
        seen = await shop.provider.inspect(
            running.label(shop.process.runner.world.install_id), running.handle
        )
        assert seen is not None
        assert await said_by(seen, shop.key, "echo mine") == "mine\n"
        (contract,) = shop.service.contracts.values()
        assert contract.label == str(running.label(shop.process.runner.world.install_id))

        shop.db.write_now(instances.stop, shop.by, made.id)
        await shop.until(made, lambda now: now.status is Status.OFFLINE)
        assert contract.offer["rentable"]
        shop.db.write_now(instances.start, shop.by, made.id)
        await shop.until(made, lambda now: now.status is Status.RUNNING)

        shop.db.write_now(instances.delete, shop.by, made.id, make.RULES)
        await shop.until(made, lambda now: now.status is Status.DELETED)
        assert not contract.is_there
        assert len(shop.service.contracts) == 1


async def test_an_order_whose_create_was_never_answered_is_found_by_its_label(
    tmp_path: Path, database_url: str
) -> None:
    async with opened(tmp_path, database_url) as shop:
        shop.service.faults.lost.append("PUT /api/v0/asks/")
        made = shop.order()
        await shop.until(made, lambda now: now.status is Status.RUNNING)
        assert len(shop.service.contracts) == 1
        shop.db.write_now(instances.delete, shop.by, made.id, make.RULES)
        await shop.until(made, lambda now: now.status is Status.DELETED)
        assert [each.is_there for each in shop.service.contracts.values()] == [False]
