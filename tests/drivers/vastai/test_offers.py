"""What is on the market, page by page, and how it is worded here."""

import asyncio
import json
import sys
import threading
from collections.abc import Mapping
from decimal import Decimal
from types import FrameType
from typing import Any

import pytest
from gpuhunt.providers.vastai import VastAIProvider

from berth.core.driver import BadCredentials, RateLimited, Unreachable
from berth.drivers.vastai import VastaiDriver, names, reading, translate
from berth.drivers.vastai.market import Market
from tests.drivers.vastai.faults import LIMITED, said
from tests.drivers.vastai.offers import market, priced
from tests.drivers.vastai.rig import VastaiRig
from tests.drivers.vastai.running import over

ANYTHING: dict[str, Any] = {"min_reliability": Decimal(0), "is_verified_only": False}


def recorded(**changed: Any) -> Mapping[str, Any]:
    """One row as a search sends it, read as the client reads it."""
    row = priced(market(1)[20_000_000], 32.0, is_bid=False) | changed
    found: Mapping[str, Any] = json.loads(json.dumps(row), parse_float=Decimal)
    return found


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("RTX 4090", "RTX 4090"),
        ("RTX_4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("GeForce GTX 1080 Ti", "GTX 1080 Ti"),
        ("Tesla V100", "V100"),
        ("NVIDIA Tesla  T4", "T4"),
        ("A100 SXM4", "A100 SXM4"),
        ("Q RTX 8000", "Q RTX 8000"),
        ("Radeon GeForce", "Radeon GeForce"),
        ("", ""),
    ],
)
def test_a_gpu_has_one_name(theirs: str, ours: str) -> None:
    assert names.gpu(theirs) == ours


@pytest.mark.parametrize(
    ("mib", "gb"),
    [(24_564, 24), (24_576, 24), (81_559, 80), (11_264, 11), (16_160, 16), (8_192, 8), (500, 0)],
)
def test_memory_is_rounded_so_that_24_is_24(mib: int, gb: int) -> None:
    assert names.vram_gb(mib) == gb


@pytest.mark.parametrize(
    ("geolocation", "country"),
    [
        ("Texas, US", "US"),
        ("SE", "SE"),
        ("Sweden, SE\n", "SE"),
        ("", "XX"),
        ("Somewhere", "XX"),
        ("Texas, USA", "XX"),
    ],
)
def test_a_place_is_a_country(geolocation: str, country: str) -> None:
    assert names.country(geolocation) == country


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [
        (Decimal("0.1"), 100_000),
        (Decimal("0.26777777777777778"), 267_778),
        (Decimal("0.29000000000000004"), 290_001),
        (Decimal("1e-7"), 1),
        (0, 0),
        (3, 3_000_000),
        ("1.93", 1_930_000),
        (Decimal(-1), None),
        (Decimal("NaN"), None),
        (Decimal("1e30"), None),
        ("much", None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_dollars_become_whole_micro_dollars_that_never_cost_us(dollars: object, micros: int | None) -> None:
    assert reading.micros(dollars) == micros


def test_a_row_becomes_an_offer_with_all_that_the_market_says() -> None:
    offer = translate.offer(recorded())
    assert offer is not None
    hardware = offer.hardware
    assert (offer.provider_offer_id, hardware.name, hardware.gpu_model) == (
        "20000000",
        "1RTX3090.24V",
        "RTX 3090",
    )
    assert (hardware.gpu_count, hardware.gpu_vram_gb, offer.free_units) == (1, 24, 1)
    assert (offer.place.code, offer.price_micros_per_hour) == ("US", None)
    # 0.13 and 32 GB at 0.15 a month, which is 0.136666…
    assert offer.cost_micros_per_hour == 136_667
    found = offer.market
    assert found is not None
    assert (found.location, found.physical_host, found.is_interruptible) == (
        "Texas, US",
        "vastai-machine-10000",
        False,
    )
    assert (found.reliability, round(found.confidence, 6)) == (0.999, 0.9994)
    assert found.min_bid_micros_per_hour == 52_000
    assert found.cuda_version in {12.4, 12.6, 12.8, 13.0}
    assert found.max_duration_hours > 0
    host = found.host
    assert (host["num_gpus"], host["gpu_ram"], host["compute_cap"], host["verified"]) == (
        "1",
        24576,
        860,
        True,
    )
    members = (
        "cuda_max_good compute_cap gpu_total_ram gpu_ram cpu_arch num_gpus gpu_name disk_space reliability2 verified"
        " rentable static_ip driver_version inet_down inet_up dph_total geolocation cpu_cores_effective"
    )
    assert set(host) == set(members.split())


def test_only_what_says_so_is_interruptible() -> None:
    """Every machine has a minimum bid."""
    on_demand, bid = translate.offer(recorded()), translate.offer(recorded(is_bid=True))
    assert on_demand is not None
    assert on_demand.market is not None
    assert bid is not None
    assert bid.market is not None
    assert (on_demand.market.is_interruptible, bid.market.is_interruptible) == (False, True)
    assert bid.market.confidence < on_demand.market.confidence


@pytest.mark.parametrize(
    "changed",
    [
        {"num_gpus": 0},
        {"gpu_name": ""},
        {"gpu_name": None},
        {"gpu_ram": None},
        {"dph_total": None},
        {"dph_total": "much"},
        {"dph_total": -1},
        {"cpu_cores_effective": 0},
        {"id": None, "ask_contract_id": None},
    ],
)
def test_a_row_that_says_too_little_is_no_offer(changed: Mapping[str, Any]) -> None:
    assert translate.offer(recorded(**changed)) is None


@pytest.mark.parametrize(
    ("duration", "is_sold"), [(3599.9, False), (0, False), (-60.0, False), (3600.0, True), (None, True)]
)
def test_what_its_host_takes_back_within_the_hour_is_not_sold(
    duration: float | None, *, is_sold: bool
) -> None:
    """Rounded down to hours it would be without a limit."""
    wanted = translate.Wanted(Decimal("0.9"), is_verified_only=False, disk_gb=10)
    assert wanted.has(recorded(duration=duration)) == is_sold


def test_a_type_promises_what_the_weakest_of_it_has() -> None:
    found = translate.offers(
        [recorded(), recorded(ask_contract_id=9, cpu_cores_effective=1.5, disk_space=40.7)]
    )
    assert [each.provider_offer_id for each in found] == ["20000000", "9"]
    assert found[0].hardware == found[1].hardware
    assert (found[0].hardware.vcpu_count, found[0].hardware.storage_gb) == (1, 40)


def test_what_a_whole_market_says_is_put_into_words_beside_the_event_loop() -> None:
    """Twenty thousand offers take seconds of a processor, once a minute."""
    where: list[threading.Thread] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code is translate.offers.__code__:
            where.append(threading.current_thread())

    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            assert len((await driver.catalogue()).offers) == 40
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    over(test, offers=40, disk_gb=8, **ANYTHING)
    assert where
    assert threading.main_thread() not in where


def test_a_market_of_many_pages_is_found_whole_and_each_offer_once() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        found = (await driver.catalogue()).offers
        assert len({each.provider_offer_id for each in found}) == len(found) == 300
        assert [each.cost_micros_per_hour for each in found] == sorted(
            each.cost_micros_per_hour for each in found
        )
        assert 5 <= rig.service.calls["search"] <= 7

    over(test, offers=300, search_pages=10, disk_gb=8, **ANYTHING)


def test_a_market_that_takes_many_looks_is_found_whole_by_and_by_at_the_pace_that_is_allowed() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.keeps_pace = True
        sizes = []
        for _ in range(6):
            sizes.append(len((await driver.catalogue()).offers))
            await rig.time.sleep(30)
        assert sizes[0] == 127  # the second page begins with the last of the first
        assert sizes[-1] == 400
        assert sizes == sorted(sizes)

    over(test, offers=400, search_pages=2, disk_gb=8, **ANYTHING)


def test_what_somebody_took_is_gone_with_the_next_round() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        before = [each.provider_offer_id for each in (await driver.catalogue()).offers]
        for handle in (before[0], before[70], before[-1]):
            rig.service.offers[int(handle)]["rentable"] = False
        after = [each.provider_offer_id for each in (await driver.catalogue()).offers]
        assert after == [each for each in before if each not in {before[0], before[70], before[-1]}]

    over(test, offers=150, search_pages=10, disk_gb=8, **ANYTHING)


def test_what_nobody_confirms_any_more_is_not_offered() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        first = {each.provider_offer_id for each in (await driver.catalogue()).offers}
        both = {each.provider_offer_id for each in (await driver.catalogue()).offers}
        assert (len(first), len(both)) == (64, 127)
        await rig.time.sleep(601)
        later = {each.provider_offer_id for each in (await driver.catalogue()).offers}
        assert len(later) == 64
        assert not later & first

    over(test, offers=200, search_pages=1, disk_gb=8, **ANYTHING)


def test_a_look_that_is_cut_short_leaves_what_is_known() -> None:
    async def test() -> None:
        rows = [{"id": number, "dph_total": number} for number in range(1, 129)]
        answers: list[object] = [{"offers": rows[:64]}, {"offers": rows[63:127]}, Unreachable("no")]

        async def search(_body: dict[str, Any]) -> Mapping[str, Any]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, dict)
            return answer

        found = Market(search, lambda: 0.0, pages=3)
        assert len(await found.look({})) == 127
        # The next goes on there, and one that begins with a refusal says so.
        answers.append(RateLimited("slow", retry_after_s=1))
        with pytest.raises(RateLimited):
            await found.look({})
        answers += [{"offers": rows[126:]}]
        assert [row["id"] for row in await found.look({})] == list(range(1, 129))
        answers += [{"offers": rows[:64]}, BadCredentials("key")]
        with pytest.raises(BadCredentials):
            await found.look({})

    asyncio.run(test())


@pytest.mark.parametrize("odd", [{"id": 9, "dph_total": None}, {"id": 1, "dph_total": 1}, "no offer"])
def test_a_row_that_is_no_offer_hides_nothing_dearer_than_its_page(odd: object) -> None:
    async def test() -> None:
        rows = [{"id": number, "dph_total": number} for number in range(1, 101)]

        async def search(body: dict[str, Any]) -> Mapping[str, Any]:
            bound = body.get("dph_total", {"gte": 0})["gte"]
            matching: list[object] = [row for row in rows if row["dph_total"] >= bound]
            return {"offers": [odd, *matching][:64] if not bound else matching[:64]}

        found = Market(search, lambda: 0.0, pages=3)
        assert [row["id"] for row in await found.look({})] == list(range(1, 101))

    asyncio.run(test())


def test_more_than_a_page_of_one_price_hides_what_is_beyond_it_and_nothing_dearer() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        for number, row in enumerate(rig.service.offers.values()):
            row["dph_base"] = 0.5 if number < 100 else 1.0 + number / 1000
        found = (await driver.catalogue()).offers
        assert len([each for each in found if each.cost_micros_per_hour < 1_000_000]) == 64
        assert len([each for each in found if each.cost_micros_per_hour >= 1_000_000]) == 60

    over(test, offers=160, search_pages=10, disk_gb=8, **ANYTHING)


def test_filters_are_checked_again_here() -> None:
    """The service does not apply every one that it is sent."""

    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rows = list(rig.service.offers.values())
        rows[0].update(rentable=False)
        rows[1].update(rented=True)
        rows[2].update(external=True)
        rows[3].update(reliability2=0.94)
        rows[4].update(reliability2=None)
        rows[5].update(verification="unverified")
        rows[6].update(disk_space=31.0)
        wanted = [str(row["id"]) for row in rows[7:10]]
        for ignores in (False, True):
            rig.service.faults.ignores_filters = ignores
            found = (await driver.catalogue()).offers
            assert sorted(each.provider_offer_id for each in found) == wanted

    over(test, offers=10)


def test_one_offer_is_looked_up_by_its_contract() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        order = rig.order()
        found = await driver.offer(order.provider_offer_id)
        assert found is not None
        assert found.provider_offer_id == order.provider_offer_id
        await driver.create(order)
        assert await driver.offer(order.provider_offer_id) is None
        assert await driver.offer("nonsense") is None

    over(test)


def test_prices_are_those_that_gpuhunt_reads_from_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [priced(row, 32.0, is_bid=False) for row in market(60).values()]

    class Answer:
        def raise_for_status(self) -> None:
            pass

        def json(self) -> dict[str, Any]:
            return {"offers": json.loads(json.dumps(rows))}

    monkeypatch.setattr("gpuhunt.providers.vastai.requests.post", lambda *_, **__: Answer())
    for row in rows:
        row["disk_space"], row["geolocation"] = 32.0, row["geolocation"] or "XX"
    theirs = {item.instance_name: item for item in VastAIProvider().get() if not item.spot}
    ours = translate.offers(json.loads(json.dumps(rows), parse_float=Decimal))
    assert len(ours) == len(theirs) == 60
    for offer in ours:
        item = theirs[offer.provider_offer_id]
        assert item.price is not None
        assert (
            abs(offer.cost_micros_per_hour - round(item.price * 1_000_000)) <= 6
        )  # they round to five digits
        alone = translate.offer(next(row for row in rows if str(row["id"]) == offer.provider_offer_id))
        assert alone is not None
        assert (alone.hardware.vcpu_count, alone.hardware.gpu_count) == (item.cpu, item.gpu_count)
        assert alone.hardware.ram_gb == max(1, round(item.memory or 0))


def test_templates_are_those_that_are_recommended_and_asked_for_once_an_hour() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        found = await driver.templates()
        assert [(each.name, each.hash_id) for each in found] == [("vLLM", "1" * 32), ("Ollama", "2" * 32)]
        vllm = found[0]
        assert (vllm.recommended_disk_gb, vllm.created_at, vllm.use_ssh) == (33, 1_730_000_000_000_000, True)
        assert json.loads(vllm.extra_filters)["num_gpus"] == {"eq": "1"}
        await driver.templates()
        assert rig.service.calls["templates"] == 1
        await rig.time.sleep(3601)
        await driver.templates()
        assert rig.service.calls["templates"] == 2

    over(test)


@pytest.mark.parametrize("limited", LIMITED)
def test_a_look_at_the_market_gets_over_a_refusal_of_every_form(limited: Any) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.answers = [("POST /api/v0/bundles/", limited)]
        before = rig.time.passed
        assert len((await driver.catalogue()).offers) == 30
        assert 1.0 <= rig.time.passed - before <= 10.0

    over(test, offers=30, disk_gb=8, **ANYTHING)


def test_searches_that_are_used_up_are_not_tried_again_before_the_day_ends() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        ends = rig.time.now() // 1_000_000 + 1800
        quota = (
            429,
            '{"error": "search_quota_exceeded"}',
            {"X-RateLimit-Reset": str(ends)},
            "application/json",
        )
        rig.service.faults.answers = [("POST /api/v0/bundles/", quota)]
        for _ in range(3):
            with pytest.raises(RateLimited) as refusal:
                await driver.catalogue()
            assert 1700 < refusal.value.retry_after_s <= 1800
        assert rig.service.calls["search"] == 1
        await rig.time.sleep(1801)
        assert (await driver.catalogue()).offers

    over(test)


@pytest.mark.parametrize(
    "body", ['{"success": true}', '{"offers": null}', "<html></html>", '{"offers": {}}', "[]"]
)
def test_an_answer_without_a_list_is_no_empty_market(body: str) -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        rig.service.faults.answers = [("POST /api/v0/bundles/", said(200, body))] * 3
        with pytest.raises(Unreachable):
            await driver.catalogue()
        rig.service.faults.answers.clear()
        assert len((await driver.catalogue()).offers) == 30

    over(test, offers=30, disk_gb=8, **ANYTHING)


def test_what_is_gone_at_the_very_price_where_pages_meet_is_gone_too() -> None:
    async def test(rig: VastaiRig, driver: VastaiDriver) -> None:
        before = [each.provider_offer_id for each in (await driver.catalogue()).offers]
        for number in (0, 63, 126, 149):
            rig.service.offers[int(before[number])]["rentable"] = False
        after = [each.provider_offer_id for each in (await driver.catalogue()).offers]
        assert len(after) == 146
        rig.service.offers.clear()
        assert not (await driver.catalogue()).offers

    over(test, offers=150, search_pages=10, disk_gb=8, **ANYTHING)
