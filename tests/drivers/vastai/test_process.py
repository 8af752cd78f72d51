"""The stand-in as a process of its own: entered with the right key, killed, and there again with all it knew."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

from berth.base import clock, ids
from berth.core.driver import CreateOrder, Hardware, Label, Power, Sighting
from berth.drivers.vastai import VastaiConfig, VastaiDriver
from tests.drivers.vastai.account import API_KEY
from tests.drivers.vastai.offers import FIRST_ID

LIMIT_S = 60
REPOSITORY = Path(__file__).parents[3]
INSTALL_ID = "0a1b2c3d4e"


class Market:
    """One of those processes."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process, self.url = process, url

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.url}/_control/{path}", json=body) as answer,
        ):
            assert answer.status == 200
            return await answer.json()

    async def bills(self) -> list[dict[str, Any]]:
        bills: list[dict[str, Any]] = (await self.control("GET", "meter"))["bills"]
        return bills

    def driver(self) -> VastaiDriver:
        return VastaiDriver(VastaiConfig(self.url, API_KEY, pace_permille=0))

    async def end(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        await asyncio.wait_for(self.process.wait(), LIMIT_S)


@contextlib.asynccontextmanager
async def opened(state: Path, *words: str) -> AsyncIterator[Market]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.drivers.vastai.service", "--state", str(state), "--ssh", *words),
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{REPOSITORY}/src:{REPOSITORY}"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = json.loads(await asyncio.wait_for(process.stdout.readline(), LIMIT_S))
    assert said["pid"] == process.pid
    market = Market(process, said["url"])
    try:
        yield market
    finally:
        await market.end(signal.SIGKILL)


def within_limit(test: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(test(), LIMIT_S)

    asyncio.run(whole())


def order(key: asyncssh.SSHKey, number: int = 0) -> CreateOrder:
    return CreateOrder(
        label=Label(INSTALL_ID, ids.new(clock.SystemClock().now())),
        provider_offer_id=str(FIRST_ID + 7 * number),
        hardware=Hardware("1RTX3090.24V", "RTX 3090", 1, 24, 16, 64, 100),
        hostname="trainer",
        image_slug="ubuntu-22.04-cuda-12.6",
        ssh_user="root",
        location="US",
        ssh_public_keys=[key.export_public_key().decode()],
        os_volume_gb=50,
    )


async def running(driver: VastaiDriver, label: Label) -> Sighting:
    for _ in range(10):
        seen = await driver.inspect(label, None)
        if seen is not None and seen.power is Power.RUNNING:
            return seen
    raise AssertionError("it does not run")


async def said_by(seen: Sighting, key: asyncssh.SSHKey, command: str) -> str:
    assert seen.ip is not None
    async with asyncssh.connect(
        seen.ip, seen.ssh_port or 0, username="root", client_keys=[key], known_hosts=None, config=None
    ) as connection:
        return str((await connection.run(command, check=True)).stdout)


def test_an_instance_is_entered_with_its_key_alone_for_as_long_as_it_runs(tmp_path: Path) -> None:
    async def test() -> None:
        key, other = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        async with opened(tmp_path / "state.json", "--offers", "10") as market:
            driver, wanted = market.driver(), order(key)
            handle = (await driver.create(wanted)).handle
            seen = await running(driver, wanted.label)
            assert await said_by(seen, key, "echo it is me") == "it is me\n"
            with contextlib.suppress(asyncssh.PermissionDenied):
                raise AssertionError(await said_by(seen, other, "echo let me in"))
            (bill,) = await market.bills()
            assert bill["created_at"] <= bill["stretches"][0][0] <= bill["entered_at"]
            await driver.destroy(handle)
            with contextlib.suppress(OSError):
                raise AssertionError(await said_by(seen, key, "echo still here"))
            await driver.close()

    within_limit(test)


def test_a_key_that_was_attached_opens_after_a_while(tmp_path: Path) -> None:
    async def test() -> None:
        key, late = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        async with opened(tmp_path / "state.json", "--offers", "10", "--attach-s", "1") as market:
            driver, wanted = market.driver(), order(key)
            handle = (await driver.create(wanted)).handle
            seen = await running(driver, wanted.label)
            await driver._attach(handle, [late.export_public_key().decode().strip()])
            with contextlib.suppress(asyncssh.PermissionDenied):
                raise AssertionError(await said_by(seen, late, "true"))
            until = asyncio.get_running_loop().time() + 10
            while True:
                with contextlib.suppress(asyncssh.PermissionDenied):
                    assert await said_by(seen, late, "echo in") == "in\n"
                    break
                assert asyncio.get_running_loop().time() < until
            await driver.close()

    within_limit(test)


def test_it_knows_again_what_it_knew_and_its_faults_are_told_from_outside(tmp_path: Path) -> None:
    async def test() -> None:
        key, state = asyncssh.generate_private_key("ssh-ed25519"), tmp_path / "state.json"
        async with opened(state, "--offers", "10") as market:
            driver = market.driver()
            kept, ended = order(key), order(key, 1)
            handle = (await driver.create(kept)).handle
            await running(driver, kept.label)
            await driver.destroy((await driver.create(ended)).handle)
            await market.control("PUT", "faults", {"hides": 1})
            assert not (await driver.list_own(INSTALL_ID)).is_complete
            await market.control("PUT", f"instances/{handle}", {"what": "offline"})
            await market.control("PUT", f"instances/{handle}", {"what": "online"})
            before = await market.bills()
            await market.end(signal.SIGTERM)
            await driver.close()
        async with opened(state, "--offers", "10", "--faults", '{"boot_looks": 0}') as market:
            driver = market.driver()
            after = await market.bills()
            assert [bill["label"] for bill in after] == [bill["label"] for bill in before]
            assert (after[0]["destroyed_at"], after[1]) == (None, before[1])
            assert after[0]["ran_us"] >= before[0]["ran_us"]
            listing = await driver.list_own(INSTALL_ID)
            assert [each.handle for each in listing.sightings] == [handle]
            assert await said_by(listing.sightings[0], key, "echo again") == "again\n"
            assert await driver.offer(kept.provider_offer_id) is None
            await driver.close()

    within_limit(test)
