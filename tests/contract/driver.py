"""What every driver keeps, whatever it drives. Run for each rig by a class that inherits `DriverContract`.

A rig stands for one provider, real or fake, that this suite may fill and empty.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

import pytest

from berth.base import permits
from berth.core.driver import (
    CreateOrder,
    Driver,
    DriverError,
    Label,
    Listing,
    Power,
    Sighting,
    Unreachable,
    VolumeOrder,
)

WAIT_LIMIT_S = 20.0
TEST_LIMIT_S = 90.0
PARALLEL = 6
KERNEL_NAME_BYTES = 64
ODD_NAMES = (
    "訓練" * 100,
    "тренировка.example." * 10,
    " ../a b/$(reboot)\\'\"; #%*?[]{}~|&<>é́😀 ",
    "-dashed-",
    "...",
    "😀",
)


class Rig(Protocol):
    """One provider under test. Left as it was found once its context ends."""

    @property
    def install_id(self) -> str: ...

    def driver(self) -> Driver:
        """A new driver object over the same provider, as a restarted control plane would make."""

    def order(self) -> CreateOrder:
        """An order with a fresh label that the provider can fulfil, key included."""

    def volume(self, *, is_shared: bool = False) -> VolumeOrder:
        """An order with a fresh label for a volume of the smallest size, where `order` is created.

        Only asked for where the driver's abilities say `volumes`, and `is_shared` where such a type is sold.
        """

    async def run(self, sighting: Sighting, command: str) -> str | None:
        """Logs in with the order's key and runs `command`; None when instances here are only pretended."""


OpenRig = Callable[[], AbstractAsyncContextManager[Rig]]


def perform(open_rig: OpenRig, test: Callable[[Rig, Driver], Awaitable[None]]) -> None:
    """Runs `test` in a rig of its own, within a limit."""

    async def whole() -> None:
        async with open_rig() as rig:
            driver = rig.driver()
            try:
                await asyncio.wait_for(test(rig, driver), TEST_LIMIT_S)
            finally:
                await driver.close()

    asyncio.run(whole())


async def until(driver: Driver, label: Label, *wanted: Power | None) -> Sighting | None:
    """Inspects until the instance is in one of the `wanted` states; None stands for gone."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        sighting = await driver.inspect(label, None)
        if (None if sighting is None else sighting.power) in wanted:
            return sighting
        assert time.monotonic() < deadline, f"still {sighting}, wanted {wanted}"
        await asyncio.sleep(0.02)


async def until_running(driver: Driver, label: Label) -> Sighting:
    sighting = await until(driver, label, Power.RUNNING)
    assert sighting is not None
    return sighting


async def destroyed(driver: Driver, handle: str) -> None:
    """Destroys it as a loop does: again while the provider says not now, as some do of what is still being made."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        try:
            await driver.destroy(handle)
        except Unreachable:
            assert time.monotonic() < deadline, "still not accepted"
            await asyncio.sleep(0.02)
        else:
            return


async def until_gone(driver: Driver, label: Label) -> None:
    await until(driver, label, None)


def labels(listing: Listing) -> list[str]:
    return sorted(str(sighting.label) for sighting in listing.sightings if sighting.power != Power.DELETING)


class Forbidden(Exception):
    """Nothing may be changed any more."""


def _forbid() -> None:
    raise Forbidden


class DriverContract:
    """Inherit it in a class whose module has an `open_rig` fixture."""

    def test_the_catalogue_is_well_formed(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            catalogue = await driver.catalogue()
            offers = catalogue.offers
            assert offers
            assert len({offer.provider_offer_id for offer in offers}) == len(offers)
            for offer in offers:
                hardware = offer.hardware
                assert hardware.name
                assert offer.place.code
                assert len(offer.place.country_code) == 2
                assert offer.cost_micros_per_hour >= 0
                assert offer.price_micros_per_hour is None or offer.price_micros_per_hour > 0
                assert offer.free_units >= 0
                assert hardware.vcpu_count > 0
                assert hardware.ram_gb > 0
                assert (hardware.gpu_count > 0) == (hardware.gpu_model is not None)
            assert len({image.slug for image in catalogue.images}) == len(catalogue.images)
            assert all(image.ssh_user and image.name and image.os_name for image in catalogue.images)
            again = await driver.catalogue()
            assert [offer.provider_offer_id for offer in again.offers] == [
                offer.provider_offer_id for offer in offers
            ]

        perform(open_rig, test)

    def test_what_was_created_runs_and_lets_its_key_in(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            created = await driver.create(order)
            assert created.label == order.label
            sighting = await until_running(driver, order.label)
            assert sighting.handle == created.handle
            assert sighting.label == order.label
            assert sighting.ip
            assert await driver.inspect(order.label, created.handle) == sighting
            assert await rig.run(sighting, "echo hello") in ("hello\n", None)

        perform(open_rig, test)

    @pytest.mark.parametrize("hostname", ODD_NAMES, ids=range(len(ODD_NAMES)))
    def test_any_name_that_a_customer_may_choose_is_created(self, open_rig: OpenRig, hostname: str) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = replace(rig.order(), hostname=hostname)
            await driver.create(order)
            sighting = await until_running(driver, order.label)
            named = await rig.run(sighting, "hostname")
            if named is not None:
                assert 1 <= len(named.removesuffix("\n").encode()) <= KERNEL_NAME_BYTES
                assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\n", named)

        perform(open_rig, test)

    def test_listing_recovers_the_label(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            created = await driver.create(order)
            listing = await driver.list_own(rig.install_id)
            assert listing.is_complete
            mine = [sighting for sighting in listing.sightings if sighting.label == order.label]
            assert [sighting.handle for sighting in mine] == [created.handle]

        perform(open_rig, test)

    def test_creating_twice_with_one_label_is_one_instance(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            first = await driver.create(order)
            second = await driver.create(order)
            assert first.handle == second.handle
            assert labels(await driver.list_own(rig.install_id)) == [str(order.label)]

        perform(open_rig, test)

    def test_creating_at_once_with_one_label_is_one_instance(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            answers = await asyncio.gather(*(driver.create(order) for _ in range(3)), return_exceptions=True)
            assert all(isinstance(answer, (Sighting, DriverError)) for answer in answers), answers
            assert any(isinstance(answer, Sighting) for answer in answers)
            await until_running(driver, order.label)
            assert labels(await driver.list_own(rig.install_id)) == [str(order.label)]

        perform(open_rig, test)

    def test_another_installation_is_not_listed(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            await driver.create(order)
            listing = await driver.list_own("someoneelse")
            assert not listing.sightings
            assert await driver.inspect(Label("someoneelse", order.label.instance_id), None) is None

        perform(open_rig, test)

    def test_a_label_that_nobody_has_is_gone(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            assert await driver.inspect(rig.order().label, None) is None

        perform(open_rig, test)

    def test_stop_and_start_keep_disk_address_and_host_key(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not driver.abilities.stop:
                pytest.skip("this provider cannot stop instances")
            order = rig.order()
            await driver.create(order)
            before = await until_running(driver, order.label)
            await rig.run(before, "echo kept > kept.txt && sync")
            await driver.stop(before.handle)
            await until(driver, order.label, Power.STOPPED)
            await driver.start(before.handle, order)
            after = await until_running(driver, order.label)
            assert after.handle == before.handle
            if not driver.abilities.ip_may_change:
                assert (after.ssh_port, after.ssh_host_key_fingerprint) == (
                    before.ssh_port,
                    before.ssh_host_key_fingerprint,
                )
            assert await rig.run(after, "cat kept.txt") in ("kept\n", None)

        perform(open_rig, test)

    def test_stopping_and_starting_twice_is_once(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not driver.abilities.stop:
                pytest.skip("this provider cannot stop instances")
            order = rig.order()
            handle = (await driver.create(order)).handle
            await until_running(driver, order.label)
            await driver.start(handle, order)
            await driver.stop(handle)
            await driver.stop(handle)
            await until(driver, order.label, Power.STOPPED)
            await driver.stop(handle)
            await driver.start(handle, order)
            await driver.start(handle, order)
            sighting = await until_running(driver, order.label)
            assert await rig.run(sighting, "echo back") in ("back\n", None)

        perform(open_rig, test)

    def test_hardware_is_kept_through_a_stop_until_it_is_released(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not driver.abilities.stop_keeps_hardware:
                pytest.skip("this provider cannot keep hardware through a stop")
            order = rig.order()

            async def free() -> int:
                offers = (await driver.catalogue()).offers
                return next(
                    each.free_units for each in offers if each.provider_offer_id == order.provider_offer_id
                )

            handle = (await driver.create(order)).handle
            await until_running(driver, order.label)
            taken = await free()
            for release, units in ((False, taken), (True, taken + 1), (True, taken + 1)):
                await driver.stop(handle, release=release)
                await until(driver, order.label, Power.STOPPED)
                assert await free() == units or not driver.abilities.counts_units
            await driver.start(handle, order)
            await until_running(driver, order.label)
            assert await free() == taken

        perform(open_rig, test)

    def test_what_may_not_be_done_any_more_is_not_done(self, open_rig: OpenRig) -> None:
        """Whoever asked may lose the right to it while the driver is at work, between any two of its calls."""

        async def test(rig: Rig, driver: Driver) -> None:
            order, another = rig.order(), rig.order()
            handle = (await driver.create(order)).handle
            await until_running(driver, order.label)
            for call in (lambda: driver.create(another), lambda: driver.destroy(handle)):
                with permits.under(_forbid), pytest.raises(Forbidden):
                    await call()
            assert await driver.inspect(another.label, None) is None
            sighting = await driver.inspect(order.label, handle)
            assert sighting is not None
            assert sighting.power is Power.RUNNING

        perform(open_rig, test)

    def test_restart_keeps_the_disk(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not driver.abilities.restart:
                pytest.skip("this provider cannot restart instances")
            order = rig.order()
            await driver.create(order)
            sighting = await until_running(driver, order.label)
            await rig.run(sighting, "echo kept > kept.txt && sync")
            await driver.restart(sighting.handle)
            sighting = await until_running(driver, order.label)
            assert await rig.run(sighting, "cat kept.txt") in ("kept\n", None)

        perform(open_rig, test)

    def test_what_was_destroyed_is_gone_and_stays_gone(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            order = rig.order()
            handle = (await driver.create(order)).handle
            await destroyed(driver, handle)
            await until_gone(driver, order.label)
            assert not labels(await driver.list_own(rig.install_id))
            await driver.destroy(handle)
            assert await driver.inspect(order.label, handle) is None

        perform(open_rig, test)

    def test_a_stopped_instance_can_be_destroyed(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            if not driver.abilities.stop:
                pytest.skip("this provider cannot stop instances")
            order = rig.order()
            handle = (await driver.create(order)).handle
            await until_running(driver, order.label)
            await driver.stop(handle)
            await until(driver, order.label, Power.STOPPED)
            await driver.destroy(handle)
            await until_gone(driver, order.label)

        perform(open_rig, test)

    def test_a_new_driver_finds_everything_again(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            running, stopped = rig.order(), rig.order()
            before = await driver.create(running)
            await until_running(driver, running.label)
            handle = (await driver.create(stopped)).handle
            await until_running(driver, stopped.label)
            if driver.abilities.stop:
                await driver.stop(handle)
                await until(driver, stopped.label, Power.STOPPED)
            after = rig.driver()
            try:
                wanted = sorted([str(running.label), str(stopped.label)])
                assert labels(await after.list_own(rig.install_id)) == wanted
                sighting = await until_running(after, running.label)
                assert sighting.handle == before.handle
                assert await rig.run(sighting, "echo still here") in ("still here\n", None)
                if driver.abilities.stop:
                    await until(after, stopped.label, Power.STOPPED)
                for order in (running, stopped):
                    sighting_now = await after.inspect(order.label, None)
                    assert sighting_now is not None
                    await after.destroy(sighting_now.handle)
                    await until_gone(after, order.label)
            finally:
                await after.close()

        perform(open_rig, test)

    def test_several_live_side_by_side(self, open_rig: OpenRig) -> None:
        async def test(rig: Rig, driver: Driver) -> None:
            orders = [rig.order() for _ in range(PARALLEL)]
            created = await asyncio.gather(*(driver.create(order) for order in orders))
            assert len({sighting.handle for sighting in created}) == PARALLEL
            seen = await asyncio.gather(*(until_running(driver, order.label) for order in orders))
            assert len({(sighting.ip, sighting.ssh_port) for sighting in seen}) == PARALLEL
            said = await asyncio.gather(
                *(rig.run(sighting, f"echo {number}") for number, sighting in enumerate(seen))
            )
            assert all(answer in (f"{number}\n", None) for number, answer in enumerate(said))
            await asyncio.gather(*(driver.destroy(sighting.handle) for sighting in seen))
            await asyncio.gather(*(until_gone(driver, order.label) for order in orders))

        perform(open_rig, test)
