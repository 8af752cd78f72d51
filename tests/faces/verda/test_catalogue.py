"""What can be bought: every member that clients read, in the type that they read it as."""

from decimal import Decimal
from typing import Any

import pytest

from berth.faces.face import Policy
from tests import make
from tests.faces.verda.conftest import CPU, Cloud, refused

TYPE_MEMBERS = {
    "best_for",
    "cpu",
    "currency",
    "deploy_warning",
    "description",
    "display_name",
    "dynamic_price",
    "gpu",
    "gpu_memory",
    "id",
    "instance_type",
    "manufacturer",
    "max_dynamic_price",
    "memory",
    "model",
    "name",
    "p2p",
    "price_per_hour",
    "serverless_price",
    "serverless_spot_price",
    "spot_price",
    "storage",
    "supported_os",
}
H100_ID = "1d3683a5-f4b2-5731-92e9-3ac315540ad3"
PRICES = [member for member in sorted(TYPE_MEMBERS) if "price" in member]


async def types(cloud: Cloud, **query: Any) -> dict[str, Any]:
    found = (await cloud.client.with_key(None).get("/instance-types", **query)).json
    return {each["instance_type"]: each for each in found}


async def test_a_type_has_every_member_and_its_prices_are_text(cloud: Cloud) -> None:
    found = await types(cloud)
    assert set(found) == {make.H100, "1A100.22V", "8H200.141S.176V", CPU}
    for each in found.values():
        assert set(each) == TYPE_MEMBERS
        assert all(isinstance(each[member], str) and Decimal(each[member]) > 0 for member in PRICES)
    h100 = found[make.H100]
    assert (h100["price_per_hour"], h100["spot_price"], h100["currency"]) == ("1.71", "0.6", "usd")
    assert h100["cpu"] == {"description": "30 CPU", "number_of_cores": 30}
    assert h100["gpu"] == {"description": "1x H100 80GB", "number_of_gpus": 1}
    assert h100["gpu_memory"] == {"description": "80GB GPU RAM", "size_in_gigabytes": 80}
    assert h100["memory"] == {"description": "120GB RAM", "size_in_gigabytes": 120}
    assert sorted(h100["supported_os"]) == ["cuda-h100", "ubuntu-24.04"]


async def test_the_memory_of_gpus_is_that_of_all_and_the_price_that_of_the_whole(cloud: Cloud) -> None:
    eight = (await types(cloud))["8H200.141S.176V"]
    assert eight["gpu"] == {"description": "8x H200 141GB", "number_of_gpus": 8}
    assert eight["gpu_memory"]["size_in_gigabytes"] == 1128
    # It is not sold as spot, and its spot price is still a price.
    assert (eight["price_per_hour"], eight["spot_price"]) == ("32", "32")


async def test_a_type_without_gpus_says_so_in_the_vendors_words(cloud: Cloud) -> None:
    cpu = (await types(cloud))[CPU]
    assert cpu["gpu"] == {"description": "", "number_of_gpus": 0}
    assert cpu["gpu_memory"] == {"description": "", "size_in_gigabytes": 0}
    assert cpu["model"] == "CPU Node"
    assert (cpu["display_name"], cpu["p2p"], cpu["deploy_warning"]) == (None, None, None)


async def test_prices_in_euros_are_those_of_the_set_rate(cloud: Cloud) -> None:
    client = cloud.under(policy=Policy(eur_per_usd_micros=850_000))
    found = {each["instance_type"]: each for each in (await client.get("/instance-types?currency=eur")).json}
    assert (found[make.H100]["price_per_hour"], found[make.H100]["currency"]) == ("1.4535", "eur")
    assert (await client.get(f"/instance-types/{make.H100}?currency=eur")).json["spot_price"] == "0.51"
    containers = (await client.get("/container-types?currency=eur")).json
    assert {each["currency"] for each in containers} == {"eur"}
    for path in ("/instance-types", "/container-types", "/instances/types", f"/instance-types/{make.H100}"):
        refused(await client.get(f"{path}?currency=gbp"), 400, "invalid_request")


async def test_ids_of_types_are_uuids_that_stay(cloud: Cloud) -> None:
    first, second = await types(cloud), await types(cloud)
    assert {each["id"] for each in first.values()} == {each["id"] for each in second.values()}
    assert first[make.H100]["id"] == H100_ID
    assert len({each["id"] for each in first.values()}) == 4


async def test_one_type_is_an_object_and_an_unknown_one_is_not_found(cloud: Cloud) -> None:
    assert (await cloud.client.get(f"/instance-types/{make.H100}")).json == (await types(cloud))[make.H100]
    refused(await cloud.client.get("/instance-types/1MOON.1V"), 404, "not_found")
    assert (await cloud.client.get("/instances/types")).json == list((await types(cloud)).values())


async def test_the_history_of_prices_is_an_empty_object(cloud: Cloud) -> None:
    response = await cloud.client.get("/instance-types/price-history?num_of_months=3&currency=usd")
    assert (response.status, response.json) == (200, {})


async def test_container_types_are_those_with_gpus(cloud: Cloud) -> None:
    found = (await cloud.client.with_key(None).get("/container-types")).json
    assert {each["instance_type"] for each in found} == {make.H100, "1A100.22V", "8H200.141S.176V"}
    assert all(isinstance(each["serverless_price"], str) for each in found)
    assert set(found[0]) == {
        "id", "model", "name", "instance_type", "cpu", "gpu", "gpu_memory", "memory", "serverless_price",
        "serverless_spot_price", "currency", "manufacturer",
    }  # fmt: skip


async def test_the_balance_is_a_number_of_dollars(cloud: Cloud) -> None:
    response = await cloud.client.get("/balance")
    assert response.json == {"amount": 500, "currency": "usd"}
    cloud.instance()
    cloud.clock.advance(seconds=1)
    assert 499 < (await cloud.client.get("/balance")).json["amount"] < 500


async def test_locations_have_a_code_a_name_and_a_country(cloud: Cloud) -> None:
    found = (await cloud.client.get("/locations")).json
    assert {each["code"] for each in found} == {"FIN-01", "FIN-03", "ICE-01"}
    assert found[0] == {"code": "FIN-01", "name": "Finland 1", "country_code": "FI"}


async def test_images_are_those_for_instances_and_those_for_clusters(cloud: Cloud) -> None:
    found = (await cloud.client.get("/images")).json
    assert sorted(each["image_type"] for each in found) == ["cuda-h100", "ubuntu-24.04"]
    assert set(found[0]) == {"id", "image_type", "name", "is_default", "is_cluster", "details", "category"}
    assert {each["is_cluster"] for each in found} == {False}
    # Nobody sells a cluster here.
    assert (await cloud.client.get("/images/cluster")).json == []


async def test_images_of_a_type_are_those_that_boot_on_it(cloud: Cloud) -> None:
    found = (await cloud.client.get("/images", instance_type="1A100.22V")).json
    assert [each["image_type"] for each in found] == ["ubuntu-24.04"]
    for path in ("/images", "/images/cluster"):
        response = await cloud.client.get(path, instance_type="1MOON.1V")
        refused(response, 404, "not_found", "Instance type not found")


async def test_volume_types_are_priced_in_numbers_and_their_iops_is_text(cloud: Cloud) -> None:
    found = {each["type"]: each for each in (await cloud.client.get("/volume-types")).exact}
    assert set(found) == {"NVMe", "NVMe_Shared"}
    nvme = found["NVMe"]
    assert nvme["price"]["price_per_month_per_gb"] == Decimal("0.2")
    assert nvme["price"]["cps_per_gb"] == Decimal("7.6103500761035E-8")
    assert nvme["price"]["currency"] == "usd"
    assert nvme["iops"] == "100k"
    assert nvme["continuous_bandwidth"] <= nvme["burst_bandwidth"]
    assert (nvme["is_shared_fs"], found["NVMe_Shared"]["is_shared_fs"]) == (False, True)


async def test_availability_names_what_is_free_in_every_location(cloud: Cloud) -> None:
    found = (await cloud.client.get("/instance-availability")).json
    assert {each["location_code"]: each["availabilities"] for each in found} == {
        "FIN-01": [make.H100],
        "FIN-03": ["1A100.22V", CPU],
        "ICE-01": [],
    }


@pytest.mark.parametrize("member", ["is_spot", "isSpot"])
@pytest.mark.parametrize("value", ["true", "1", "True"])
async def test_spot_is_asked_for_under_either_name(cloud: Cloud, member: str, value: str) -> None:
    found = (await cloud.client.get("/instance-availability", **{member: value})).json
    assert [each["availabilities"] for each in found] == [[make.H100], [], []]
    path = f"/instance-availability/1A100.22V?{member}="
    assert (await cloud.client.get(path + value)).json is False
    assert (await cloud.client.get(path + "false")).json is True
    refused(await cloud.client.get(path + "perhaps"), 400, "invalid_request")


async def test_a_location_alone_is_exactly_one_element(cloud: Cloud) -> None:
    for code, types_there in (("FIN-01", [make.H100]), ("ICE-01", []), ("MOON-01", [])):
        found = (await cloud.client.get("/instance-availability", location_code=code)).json
        assert found == [{"location_code": code, "availabilities": types_there}]


async def test_whether_one_type_is_free_is_a_bare_boolean(cloud: Cloud) -> None:
    for path in ("/instance-availability", "/instances/availability"):
        for wanted, is_free in ((make.H100, b"true"), ("8H200.141S.176V", b"false"), ("CPU.4V", b"false")):
            assert (await cloud.client.get(f"{path}/{wanted}")).content == is_free
        assert (await cloud.client.get(f"{path}/{make.H100}?location_code=FIN-03")).content == b"false"
        assert (await cloud.client.get(f"{path}/{make.H100}?location_code=FIN-01")).content == b"true"


async def test_long_terms_are_those_that_the_operator_sells(cloud: Cloud) -> None:
    found = (await cloud.client.with_key(None).get("/long-term/periods/instances")).json
    assert found[1] == {
        "code": "3_MONTHS",
        "name": "3 months",
        "is_enabled": True,
        "unit_name": "month",
        "unit_value": 3,
        "discount_percentage": 14,
    }
    for path in ("/long-term/periods", "/long-term/periods/clusters"):
        assert (await cloud.client.with_key(None).get(path)).json == found


async def test_what_is_asked_of_a_list_twice_or_in_another_type_is_a_400(cloud: Cloud) -> None:
    for path in (
        "/instance-availability?is_spot=true&is_spot=false",
        "/images?instance_type=" + "x" * 256,
        "/instance-types/price-history?num_of_months=-1",
        "/instances?status=sleeping",
        "/volumes?status=sleeping",
    ):
        refused(await cloud.client.get(path), 400, "invalid_request")
    assert (await cloud.client.get("/instances?colour=blue&colour=red")).status == 200
