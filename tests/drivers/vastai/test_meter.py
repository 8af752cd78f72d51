"""The stand-in's own meter: what an instance has cost, to compare bills with."""

from berth.core.driver import Power
from berth.drivers.vastai import VastaiDriver
from tests.drivers.vastai.rig import VastaiRig
from tests.drivers.vastai.running import over, until


def test_gpus_cost_while_they_run_and_the_disk_until_its_end() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        seen = await until(driver, order.label, Power.RUNNING)
        price = seen.cost_micros_per_hour
        assert price is not None
        began, created = rig.service.bills()[0]["stretches"][0][0], rig.service.bills()[0]["created_at"]
        await rig.time.sleep(3600)
        await driver.stop(handle)
        off = await until(driver, order.label, Power.STOPPED)
        (stretch,) = rig.service.bills()[0]["stretches"]
        await rig.time.sleep(7200)
        await driver.destroy(handle)
        (bill,) = rig.service.bills()
        assert bill["stretches"] == [stretch]
        assert stretch[0] == began
        assert 3600 * 1_000_000 <= bill["ran_us"] == stretch[1] - stretch[0] <= 3610 * 1_000_000
        assert bill["existed_us"] == bill["destroyed_at"] - created
        assert bill["total_micros_per_hour"] == price
        assert bill["ran_micros"] == bill["ran_us"] * price // 3_600_000_000
        assert bill["storage_micros_per_hour"] == off.cost_micros_per_hour
        await rig.time.sleep(7200)
        assert rig.service.bills() == [bill]

    over(test)
