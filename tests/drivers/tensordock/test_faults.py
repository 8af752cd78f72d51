"""TensorDock when it fails: answers that get lost, lists that lag, refusals of all kinds. Nothing is made twice or lost."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    Power,
    RateLimited,
    Refused,
    Unreachable,
)
from berth.drivers.tensordock import TensorDockDriver
from tests.drivers.tensordock.rig import TensorDockRig, only, over, until
from tests.drivers.tensordock.service import SOLD_OUT

Fault = tuple[str, int, str, dict[str, str]]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "{}", Unreachable),
        (200, "<html>", Unreachable),
        (200, "[" * 100_000, Unreachable),
        (500, "", Unreachable),
        (200, '{"status": 500, "error": "broken"}', Unreachable),
        (401, '{"error": "Invalid API credentials"}', BadCredentials),
    ],
)
def test_a_catalogue_that_failed_is_no_empty_one(status: int, body: str, kind: type[DriverError]) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("GET /locations", status, body, {}))
        with pytest.raises(kind):
            await driver.catalogue()

    over(test)


def test_sold_out_in_an_answer_of_200_makes_nothing() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.sold_out = True
        with pytest.raises(NoCapacity, match=SOLD_OUT):
            await driver.create(rig.order())
        assert not rig.service.machines

    over(test)


def test_a_machine_that_is_made_after_its_client_left_is_found_by_its_name() -> None:
    async def test(rig: TensorDockRig, _driver: TensorDockDriver) -> None:
        hasty = rig.driver(timeout_s=0.3)
        order = rig.order()
        rig.service.faults.slow_creates = 1
        try:
            with pytest.raises(OutcomeUnknown):
                await hasty.create(order)
        finally:
            await hasty.close()
        after = rig.driver()
        try:
            found = await after.inspect(order.label, None)
            assert found is not None
            assert found.handle == only(rig).id
            assert (await after.create(order)).handle == found.handle
            assert len(rig.service.machines) == 1
        finally:
            await after.close()

    over(test)


def test_a_lost_answer_to_a_create_is_resolved_by_the_name() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        rig.service.faults.lost.append("POST /instances")
        with pytest.raises(OutcomeUnknown):
            await driver.create(order)
        assert (await driver.create(order)).handle == only(rig).id
        assert len(rig.service.machines) == 1

    over(test)


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"data": {"status": "creating"}}', "<html>"])
def test_an_accepted_create_without_an_id_is_unknown(body: str) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("POST /instances", 201, body, {}))
        with pytest.raises(OutcomeUnknown):
            await driver.create(rig.order())

    over(test)


def test_a_list_that_lags_does_not_make_a_second_one() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.lists_late = 3
        order = rig.order()
        first = await driver.create(order)
        assert (await driver.create(order)).handle == first.handle
        assert len(rig.service.machines) == 1
        assert driver.abilities.appears_within_s > 60

    over(test)


@pytest.mark.parametrize(
    ("body", "is_complete"),
    [
        ('{"data": []}', True),
        ('{"data": {"instances": []}}', True),
        ('{"data": [null]}', False),
        ('{"data": [{}]}', False),
    ],
)
def test_a_list_with_rows_that_cannot_be_read_is_not_whole(body: str, is_complete: bool) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("GET /instances", 200, body, {}))
        assert (await driver.list_own(rig.install_id)).is_complete == is_complete

    over(test)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "{}"),
        (200, '{"data": {"instances": null}}'),
        (200, '{"data": null}'),
        (200, "<html>"),
        (200, ""),
        (200, '{"status": 500, "error": "x"}'),
        (404, "{}"),
        (404, "<html>no such page</html>"),
        (502, "<html>"),
    ],
)
def test_a_listing_that_failed_never_means_that_nothing_is_there(status: int, body: str) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("GET /instances", status, body, {}))
        with pytest.raises(Unreachable):
            await driver.list_own(rig.install_id)

    over(test)


def test_an_instance_is_gone_only_when_a_list_lacks_it_too() -> None:
    """A wrong address answers 404 to everything."""

    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        missing: Fault = (f"GET /instances/{handle}", 404, "<html>", {})
        rig.service.faults.answers += [missing, ("GET /instances", 404, "<html>", {})]
        with pytest.raises(Unreachable):
            await driver.inspect(order.label, handle)
        rig.service.faults.answers += [missing, missing]
        sighting = await driver.inspect(order.label, handle)
        assert sighting is not None
        rig.service.faults.answers += [
            (f"DELETE /instances/{handle}", 404, "", {}),
        ]
        with pytest.raises(Refused):
            await driver.destroy(handle)
        assert only(rig).id == handle

    over(test)


def test_a_list_that_is_not_whole_proves_no_absence() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("GET /instances", 200, '{"data": [{"id": "only"}]}', {}))
        with pytest.raises(Unreachable):
            await driver.inspect(rig.order().label, None)
        rig.service.faults.answers += [
            ("DELETE /instances/gone", 404, "", {}),
            ("GET /instances", 200, '{"data": [{"id": "only"}]}', {}),
        ]
        with pytest.raises(Unreachable):
            await driver.destroy("gone")

    over(test)


def test_a_bad_token_is_not_an_absence() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        other = rig.driver(api_token="revoked")
        try:
            for call in (
                other.inspect(order.label, handle),
                other.list_own(rig.install_id),
                other.destroy(handle),
                other.create(rig.order()),
            ):
                with pytest.raises(BadCredentials):
                    await call
        finally:
            await other.close()
        assert only(rig).id == handle

    over(test)


def test_destroying_what_is_gone_succeeds_and_what_lingers_in_lists_is_still_there() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        rig.service.faults.keeps_listing = 1
        await driver.destroy(handle)
        assert await driver.inspect(order.label, handle) is not None
        assert await driver.inspect(order.label, handle) is None
        await driver.destroy(handle)

    over(test)


def test_a_lost_answer_to_a_destroy_is_unknown_and_done_again() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        # The HTTP client itself asks a second time, once.
        rig.service.faults.lost += [f"DELETE /instances/{handle}"] * 2
        with pytest.raises(OutcomeUnknown):
            await driver.destroy(handle)
        await driver.destroy(handle)
        assert await driver.inspect(order.label, handle) is None

    over(test)


def test_a_start_finds_its_hardware_taken() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await until(driver, order.label, Power.RUNNING)
        await driver.stop(handle)
        await until(driver, order.label, Power.STOPPED)
        rig.service.faults.sold_out = True
        with pytest.raises(NoCapacity):
            await driver.start(handle, order)

    over(test)


def test_a_refusal_for_limits_closes_the_account_for_a_while() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("GET /instances", 429, "", {"Retry-After": "30"}))
        with pytest.raises(RateLimited):
            await driver.list_own(rig.install_id)
        with pytest.raises(RateLimited) as refusal:
            await driver.list_own(rig.install_id)
        assert 0 < refusal.value.retry_after_s <= 30
        assert rig.service.calls["GET /instances"] == 1
        await rig.clock.sleep(31)
        await driver.list_own(rig.install_id)

    over(test)


def test_no_more_calls_than_the_organisation_has() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        began = rig.clock.now
        sent = []
        for _ in range(300):
            try:
                await driver.list_own(rig.install_id)
                sent.append(rig.clock.now - began)
            except RateLimited as error:
                await rig.clock.sleep(error.retry_after_s)
        assert sent[:4] == [0.0, 0.0, 0.0, 1.5]
        for start in sent:
            assert sum(start <= each < start + 60 for each in sent) <= 100
        # Steadily, so that nobody waits for long: most of a minute's calls in each minute.
        assert len(sent) / (sent[-1] / 60) > 80

    over(test)


def test_an_answer_too_large_to_read_is_not_read() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.answers.append(("GET /locations", 200, " " * (17 * 1024 * 1024), {}))
        with pytest.raises(Unreachable, match="more than"):
            await driver.catalogue()

    over(test)


def test_a_token_is_never_shown() -> None:
    async def test(rig: TensorDockRig, _driver: TensorDockDriver) -> None:
        driver = rig.driver(api_token="very-secret")
        try:
            with pytest.raises(BadCredentials) as refusal:
                await driver.list_own(rig.install_id)
            assert "very-secret" not in f"{refusal.value!r} {driver._config!r}"
        finally:
            await driver.close()

    over(test)


def test_random_misfortune_leaves_nothing_twice_and_nothing_behind() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.chance = 0.25

        async def again(act: Callable[[], Awaitable[Any]]) -> Any:
            for _ in range(100):
                try:
                    return await act()
                except RateLimited as error:
                    await rig.clock.sleep(error.retry_after_s)
                except (Unreachable, OutcomeUnknown, NoCapacity):
                    continue
            raise AssertionError("never accepted")

        orders = [rig.order() for _ in range(10)]
        handles = [(await again(partial(driver.create, order))).handle for order in orders]
        assert len(set(handles)) == len(rig.service.machines) == len(orders)
        for handle in handles:
            await again(partial(driver.destroy, handle))
        assert not rig.service.there()
        assert not (await again(lambda: driver.list_own(rig.install_id))).sightings

    over(test)
