"""What TensorDock's locations and hosts become: offers at their whole price, with names that are told apart."""

from decimal import Decimal
from typing import Any

import pytest

from berth.drivers.tensordock import countries, selling
from berth.drivers.tensordock.selling import OfferName, Reach, Shape
from tests.drivers.tensordock.stock import DALLAS, H100, HOSTNODES, LOCATIONS, OSLO, RTX4090


def located(**gpu: Any) -> list[dict[str, Any]]:
    return [{**LOCATIONS[0], "gpus": [{**LOCATIONS[0]["gpus"][0], **gpu}]}]


def test_each_count_of_each_gpu_is_an_offer_at_the_price_of_all_that_is_ordered() -> None:
    one, two, h100 = selling.offers(LOCATIONS)
    assert (one.provider_offer_id, two.provider_offer_id, h100.provider_offer_id) == (
        f"{DALLAS}-{RTX4090}",
        f"{DALLAS}-{RTX4090}:2",
        f"{OSLO}-{H100}",
    )
    # 0.35 + 8 × 0.003 + 32 × 0.002 + 100 × 0.00005
    assert one.cost_micros_per_hour == 443_000
    assert two.cost_micros_per_hour == 2 * 350_000 + 16 * 3_000 + 64 * 2_000 + 100 * 50
    assert (one.free_units, one.price_micros_per_hour) == (1, None)
    assert (one.hardware.vcpu_count, one.hardware.ram_gb, one.hardware.storage_gb) == (8, 32, 100)
    assert (one.hardware.name, two.hardware.name, h100.hardware.name) == (
        "1RTX4090.24V",
        "2RTX4090.24V",
        "1H100SXM5.80V",
    )
    assert one.market is not None
    assert (one.market.location, one.market.confidence) == ("Dallas, Texas, United States", 0.3)
    assert one.market.reliability == pytest.approx(2 / 3)
    assert h100.market is not None
    assert (h100.market.location, h100.market.reliability) == ("Oslo, Norway", 1.0)
    assert (one.place.code, h100.place.code) == ("US", "NO")


@pytest.mark.parametrize("text", ['{"v": 0.1}', '{"v": "0.1"}'])
def test_prices_keep_their_digits_and_round_up(text: str) -> None:
    from berth.drivers.tensordock.errors import loads

    price = loads(text)["v"]
    (offer, *_) = selling.offers(located(price_per_hr=price, pricing={"per_vcpu_hr": Decimal("0.00000001")}))
    assert offer.cost_micros_per_hour == 100_001


@pytest.mark.parametrize(
    "gpu",
    [
        {"max_count": 0},
        {"max_count": None},
        {"price_per_hr": None},
        {"price_per_hr": "NaN"},
        {"price_per_hr": -1},
        {"v0Name": ""},
        {"v0Name": "odd:name"},
        {"displayName": "Mystery", "v0Name": "mystery"},
        {"resources": {"max_storage_gb": 50}},
    ],
)
def test_what_could_not_be_ordered_or_priced_is_not_offered(gpu: dict[str, Any]) -> None:
    assert selling.offers(located(**gpu)) == []


def test_a_location_without_its_uuid_is_not_offered() -> None:
    assert selling.offers([{**LOCATIONS[0], "id": "dallas"}]) == []


def test_offers_are_bounded_by_the_most_gpus_that_are_believed() -> None:
    assert len(selling.offers(located(max_count=10**9))) == selling.MOST_GPUS


@pytest.mark.parametrize(
    ("limits", "count", "shape"),
    [
        ({}, 1, Shape(8, 32)),
        ({}, 8, Shape(64, 256)),
        ({}, 16, Shape(128, 512)),
        ({"max_vcpus": 7, "max_ram_gb": 31}, 1, Shape(6, 16)),
        ({"max_vcpus": 1, "max_ram_gb": 1}, 1, Shape(2, 2)),
        ({"max_vcpus": "30", "max_ram_gb": 200.5}, 8, Shape(30, 192)),
        ({}, 3, Shape(24, 96)),
        ({}, 10, Shape(80, 256)),
    ],
)
def test_an_order_has_an_even_count_of_processors_and_a_size_of_memory_that_is_sold(
    limits: dict[str, Any], count: int, shape: Shape
) -> None:
    assert selling.shape(limits, count) == shape


@pytest.mark.parametrize(
    ("shown", "model"),
    [
        ("NVIDIA GeForce RTX 4090 PCIe 24GB", "RTX 4090"),
        ("NVIDIA H100 SXM5 80GB", "H100 SXM5"),
        ("Tesla V100 PCIe 16GB", "V100"),
        ("NVIDIA Tesla T4 16 GB", "T4"),
        ("nvidia RTX A6000 pcie 48gb", "RTX A6000"),
        ("NVIDIA  RTX 6000 Ada PCIe", "RTX 6000 Ada"),
        ("L40S", "L40S"),
    ],
)
def test_a_gpu_is_called_what_people_call_it(shown: str, model: str) -> None:
    assert selling.model_of(shown) == model


def test_memory_is_read_where_it_is_written() -> None:
    (offer, *_) = selling.offers(located(displayName="RTX 4090"))
    assert offer.hardware.gpu_vram_gb == 24


@pytest.mark.parametrize("gpu", ["h100-sxm5-80gb", "x", "x-x2"])
@pytest.mark.parametrize("count", [1, 2, 16])
def test_the_name_of_an_offer_is_read_back(gpu: str, count: int) -> None:
    name = OfferName(DALLAS, gpu, count)
    assert OfferName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        DALLAS,
        f"{DALLAS}-",
        f"{DALLAS}{RTX4090}",
        f"{DALLAS}-x:",
        f"{DALLAS}-x:0",
        f"{DALLAS}-x:17",
        f"{DALLAS}-a:b:2",
    ],
)
def test_what_is_no_offer_is_not_read_as_one(text: str) -> None:
    assert OfferName.parse(text) is None


@pytest.mark.parametrize(
    "answer", [{"data": {"locations": []}}, {"data": []}, {"data": {"locations": [None, 3]}}]
)
def test_no_locations_are_normal(answer: object) -> None:
    assert selling.locations(answer) == []


@pytest.mark.parametrize(
    "answer", [None, {}, {"data": {}}, {"data": None}, {"data": {"locations": None}}, "x"]
)
def test_an_answer_without_a_list_is_no_empty_list(answer: object) -> None:
    assert selling.locations(answer) is None


def test_hosts_stand_for_their_location_at_the_dearest_price_and_the_most_free_gpus() -> None:
    one, two = selling.offers(selling.as_locations(HOSTNODES))
    assert one.provider_offer_id == f"{OSLO}-l40s-pcie-48gb"
    assert two.provider_offer_id == f"{OSLO}-l40s-pcie-48gb:2"
    assert one.cost_micros_per_hour == 900_000 + 8 * 3_000 + 32 * 2_000 + 100 * 50
    assert one.hardware.gpu_vram_gb == 48
    assert one.market is not None
    assert one.market.location == "Oslo, Norway"


def test_a_location_says_how_it_is_reached() -> None:
    found = selling.reaches(LOCATIONS)
    assert found[OfferName(DALLAS, RTX4090)] == Reach(forwards_ports=True, has_own_ips=True)
    assert found[OfferName(OSLO, H100)] == Reach(forwards_ports=False, has_own_ips=True)


@pytest.mark.parametrize(
    ("country", "code"),
    [
        ("United States", "US"),
        ("usa", "US"),
        (" Norway ", "NO"),
        ("de", "DE"),
        ("Atlantis", "XX"),
        ("", "XX"),
    ],
)
def test_countries_have_codes(country: str, code: str) -> None:
    assert countries.code_of(country) == code


def test_the_operators_image_is_the_default_also_where_it_is_another() -> None:
    known = selling.images("ubuntu2404_ml_pytorch")
    assert [image.slug for image in known if image.is_default] == ["ubuntu2404_ml_pytorch"]
    other = selling.images("ubuntu2604_nvidia_700")
    assert [image.slug for image in other if image.is_default] == ["ubuntu2604_nvidia_700"]
    assert len(other) == len(known) + 1
    assert all(image.min_os_volume_gb == 100 for image in other)
