"""Lists, looks and accounts at Vast.ai: what is absent, what is somebody else's, and what may be asked how often."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from berth.core.driver import BadCredentials, DriverError, Label, Power, RateLimited, Refused, Unreachable
from berth.drivers.vastai import VastaiConfig, VastaiDriver
from tests.drivers.vastai.account import API_KEY
from tests.drivers.vastai.faults import said
from tests.drivers.vastai.rig import VastaiRig
from tests.drivers.vastai.running import over, until

HTML = "<html>gateway</html>"


def test_a_listing_of_many_pages_is_whole() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        for _ in range(60):
            await driver.create(rig.order())
        before = rig.service.calls["list"]
        listing = await driver.list_own(rig.install_id)
        assert (len({each.handle for each in listing.sightings}), listing.is_complete) == (60, True)
        assert rig.service.calls["list"] - before == 3

    over(test, offers=70)


@pytest.mark.parametrize("fault", [{"cuts_pages": True}, {"hides": 3}])
def test_a_listing_that_is_cut_short_proves_no_absence(fault: dict[str, Any]) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        for _ in range(30):
            await driver.create(rig.order())
        rig.service.faults.change(fault)
        listing = await driver.list_own(rig.install_id)
        assert not listing.is_complete
        assert 25 <= len(listing.sightings) < 30

    over(test)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"success": false, "error": "deprecated_endpoint"}', Refused),
        ('{"success": true, "instances": null}', Unreachable),
        ('{"success": true}', Unreachable),
        (HTML, Unreachable),
    ],
)
def test_a_list_that_is_none_is_not_empty(body: str, kind: type[DriverError]) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        await driver.create(rig.order())
        rig.service.faults.answers += [
            ("GET /api/v1/instances/", said(410 if "deprecated" in body else 200, body))
        ] * 3
        with pytest.raises(kind):
            await driver.list_own(rig.install_id)

    over(test)


def test_a_row_without_a_number_and_a_cursor_that_stays_are_no_whole_list() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        for body in (
            '{"instances": [{"label": "x"}], "total_instances": 0, "next_token": null}',
            '{"instances": [7], "next_token": null}',
        ):
            rig.service.faults.answers.append(("GET /api/v1/instances/", said(200, body)))
            assert not (await driver.list_own(rig.install_id)).is_complete
        same = said(200, '{"instances": [], "next_token": "same"}')
        rig.service.faults.answers += [("GET /api/v1/instances/", same)] * 5
        assert not (await driver.list_own(rig.install_id)).is_complete
        assert len(rig.service.faults.answers) == 3

    over(test)


def test_two_installations_on_one_account_never_touch_each_others_instances() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        installs = ("prod", "prod1", "PROD", "0a1b2c3d4e")
        made = {}
        for install in installs:
            order = replace(rig.order(), label=Label(install, rig.label().instance_id))
            made[install] = (order.label, (await driver.create(order)).handle)
        foreign = rig.order()
        handle = (await driver.create(foreign)).handle
        for odd in ("shopper-prod-1", "berth-prod-eu-01K0000000000000000000000A", "", "prod"):
            rig.service.contracts[int(handle)].label = odd
            for install in installs:
                listing = await driver.list_own(install)
                assert [each.handle for each in listing.sightings] == [made[install][1]]
                assert listing.is_complete
        for install, (label, own) in made.items():
            found = await driver.inspect(label, None)
            assert found is not None
            assert found.handle == own
            for other in installs:
                if other != install:
                    assert await driver.inspect(Label(other, label.instance_id), None) is None
        assert all(each.is_there for each in rig.service.contracts.values())

    over(test)


def test_many_looks_share_lists_and_keep_the_pace() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        orders = [rig.order() for _ in range(20)]
        handles = [(await driver.create(order)).handle for order in orders]
        await rig.time.sleep(100)
        before = dict(rig.service.calls)
        looks = zip(orders, handles, strict=True)
        seen = await asyncio.gather(*(driver.inspect(order.label, handle) for order, handle in looks))
        assert [each.handle for each in seen if each is not None] == handles
        shown = rig.service.calls["show"] - before.get("show", 0)
        listed = rig.service.calls["list"] - before["list"]
        assert (shown, listed <= 2) == (1, True)

    over(test)


def test_the_published_pauses_are_kept() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.keeps_pace = True
        for _ in range(4):
            order = rig.order()
            handle = (await driver.create(order)).handle
            seen = await until(driver, order.label, Power.RUNNING)
            await driver.stop(handle)
            await driver.restart(seen.handle)
            await driver.list_own(rig.install_id)
            await driver.destroy(handle)
        assert rig.time.passed > 3 * 4.5

    over(test)


def test_who_would_wait_long_is_told_to_come_again() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.answers.append(
            ("PUT /api/v0/asks/", (429, "slow", {"Retry-After": "40"}, "text/plain"))
        )
        for _ in range(2):
            with pytest.raises(RateLimited) as refusal:
                await driver.create(rig.order())
            assert 35 < refusal.value.retry_after_s <= 40
        assert rig.service.calls["create"] == 1

    over(test)


def test_a_key_that_is_not_accepted_is_no_absence_anywhere() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        await rig.time.sleep(10)
        stranger = rig.driver(api_key="wrong")
        for call in (
            stranger.catalogue(),
            stranger.templates(),
            stranger.inspect(order.label, handle),
            stranger.inspect(order.label, None),
            stranger.list_own(rig.install_id),
            stranger.stop(handle),
            stranger.destroy(handle),
            stranger.create(rig.order()),
        ):
            with pytest.raises(BadCredentials) as refusal:
                await call
            assert "wrong" not in str(refusal.value)
        await stranger.close()
        assert rig.service.contracts[int(handle)].is_there

    over(test)


def test_nobody_there_is_unreachable_for_reads_and_creates_alike() -> None:
    async def test(rig: VastaiRig, _driver: VastaiDriver) -> None:
        nobody = rig.driver(base_url="http://127.0.0.1:1")
        for call in (nobody.catalogue(), nobody.list_own(rig.install_id), nobody.create(rig.order())):
            with pytest.raises(Unreachable):
                await call
        await nobody.close()

    over(test)


def test_the_key_is_not_in_what_is_said_of_the_account() -> None:
    assert API_KEY not in repr(VastaiConfig("http://127.0.0.1:1", API_KEY))


def test_a_log_is_fetched_without_the_key_and_from_no_odd_place() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        client = driver._client
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "/logs/1", "", "http://[", "http://\0"):
            assert await client.fetch_text(url) is None
        secure = rig.driver(base_url="https://127.0.0.1:1")
        assert await secure._client.fetch_text(f"{rig.base_url}/logs/1") is None
        assert not [call for call in rig.service.calls if "logs" in call]
        await secure.close()

    over(test)


# The account's credit.


@pytest.mark.parametrize(
    ("credit", "left"),
    [
        (4.9999999, 4_999_999),
        (0, 0),
        (-3.25, -3_250_000),
        ("1.5", 1_500_000),
        (5, None),
        (500.1, None),
        (None, None),
    ],
)
def test_credit_that_runs_low_is_logged_with_each_look(credit: object, left: int | None) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.account.credit = credit
        with capture_logs() as entries:
            assert (await driver.catalogue()).offers
        events = [(entry["event"], entry.get("left_micros")) for entry in entries]
        assert events == ([] if left is None else [("upstream_balance_low", left)])

    over(test)


def test_the_catalogue_does_not_depend_on_the_credit() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.answers += [("GET /api/v0/users/current", said(500, ""))] * 3
        with capture_logs() as entries:
            assert (await driver.catalogue()).offers
        assert [entry["event"] for entry in entries] == ["upstream_balance_unknown"]

    over(test)
