"""An operator hears in time that the account runs empty: at zero the provider ends everything."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.drivers.verda.rig import open_verda


async def said(balance: object) -> list[tuple[str, object]]:
    """What a look at the catalogue logs, where the account says `balance`."""
    async with open_verda() as rig:
        rig.service.balance = balance
        driver = rig.driver()
        with capture_logs() as entries:
            assert (await driver.catalogue()).offers
        await driver.close()
        return [(entry["event"], entry.get("left_micros")) for entry in entries]


@pytest.mark.parametrize(
    ("amount", "left"), [(49.99, 49_990_000), ("0.5", 500_000), (0, 0), (-3.25, -3_250_000)]
)
def test_a_balance_that_runs_low_is_logged_with_each_look(amount: object, left: int) -> None:
    found = asyncio.run(said({"amount": amount, "currency": "usd"}))
    assert found == [("upstream_balance_low", left)]


@pytest.mark.parametrize(
    "balance",
    [{"amount": 50, "currency": "usd"}, {"amount": 1, "currency": "eur"}, {"amount": "much"}, [], None, "0"],
)
def test_a_balance_that_is_high_enough_or_says_nothing_is_not(balance: object) -> None:
    assert asyncio.run(said(balance)) == []


def test_the_catalogue_does_not_depend_on_the_balance() -> None:
    async def test() -> None:
        async with open_verda() as rig:
            rig.service.faults.answers.append(("GET /balance", 500, "", {}))
            driver = rig.driver()
            with capture_logs() as entries:
                assert (await driver.catalogue()).offers
            assert [entry["event"] for entry in entries] == ["upstream_balance_unknown"]
            await driver.close()

    asyncio.run(test())
