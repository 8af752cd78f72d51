"""What is on offer: the pretended catalogue that the official clients expect, and what a real host has."""

import asyncio
import platform
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from berth.base import ids
from berth.core.driver import Hardware, NoCapacity, Power, ProviderImage, Refused
from berth.drivers.sandbox import SandboxDriver, catalogue, gpus, simulated
from berth.drivers.sandbox.catalogue import Capacity, Use
from berth.drivers.sandbox.config import THIS_HOST
from berth.drivers.sandbox.images import SIMULATED, of_this_host
from tests.contract.driver import until
from tests.drivers.sandbox.rig import SandboxRig, in_sandbox, offered

GPUHUNT = re.compile(
    r"\d+x (H100 SXM5 80GB|H200 SXM5 141GB|A100 SXM4 (80|40)GB|B200 SXM6 180GB|B300 SXM6 268GB|GB200 NVL72 186GB"
    r"|L40S 48GB|RTX PRO 6000 96GB|RTX 6000 Ada 48GB|RTX A6000 48GB|Tesla V100 16GB)"
)


def boots_on(image: ProviderImage, hardware: Hardware) -> bool:
    return image.gpu_models is None or hardware.gpu_model in image.gpu_models


def image(slug: str) -> ProviderImage:
    return next(image for image in SIMULATED if image.slug == slug)


def test_the_pretended_catalogue_holds_what_clients_ask_for_by_name() -> None:
    free = {offer.provider_offer_id: offer.free_units for offer in simulated.offers([])}
    for wanted in (
        "1H100.80S.30V@FIN-01",
        "1A100.22V@FIN-01",
        "8H200.141S.176V@FIN-01",
        "8A100.176V@FIN-01",
        "CPU.4V.16G@FIN-03",
        "1B200.30V@FIN-03",
        "8B300.240V@FIN-03",
        "8B200.240V@FIN-03",
    ):
        assert free[wanted] > 0
    assert offered("1H100.80S.30V@FIN-01").price_micros_per_hour == 1_710_000
    assert offered("1A100.22V@FIN-01").price_micros_per_hour == 965_000
    assert offered("CPU.4V.16G@FIN-03").spot_price_micros_per_hour
    assert "CPU.4V" not in {offer.hardware.name for offer in simulated.offers([])}
    first, second = simulated.PLACES[:2]
    assert {first.code, second.code} == {"FIN-01", "ICE-01"}
    assert first.country_code != second.country_code


def test_pretended_offers_say_that_they_are() -> None:
    assert all(offer.is_simulated for offer in simulated.offers([]))
    assert not any(offer.is_simulated for offer in catalogue.offers(Capacity(4, 16, ()), [], THIS_HOST))


def test_one_type_is_sold_out_everywhere() -> None:
    free: dict[str, int] = defaultdict(int)
    for offer in simulated.offers([]):
        free[offer.hardware.name] += offer.free_units
    assert [name for name, units in free.items() if not units] == ["8GB200.288V"]


def test_price_trackers_understand_the_gpus() -> None:
    for offer in simulated.offers([]):
        hardware = offer.hardware
        if hardware.gpu_count:
            assert GPUHUNT.fullmatch(hardware.description), hardware.description
            assert hardware.description == f"{hardware.gpu_count}x {hardware.gpu_name}"
            assert (hardware.p2p is None) == (hardware.gpu_count == 1)
        else:
            assert (hardware.gpu_name, hardware.p2p) == ("", None)
        assert hardware.best_for
        assert hardware.deploy_warning is None


def test_images_fit_the_types_they_are_ordered_for() -> None:
    h100, cpu, v100 = (
        offered(name).hardware for name in ("1H100.80S.30V@FIN-01", "CPU.4V.16G@FIN-03", "1V100.6V@FIN-01")
    )
    assert boots_on(image("ubuntu-22.04-cuda-12.4-cluster"), h100)
    assert boots_on(image("ubuntu-22.04"), cpu)
    assert not boots_on(image("ubuntu-22.04-cuda-12.4-cluster"), v100)
    assert not boots_on(image("ubuntu-22.04-cuda-12.9-cluster"), cpu)
    assert boots_on(image("ubuntu-22.04-cuda-12.9-cluster"), offered("8B200.240V@FIN-03").hardware)
    cheapest = min(simulated.offers([]), key=lambda offer: offer.spot_price_micros_per_hour or 0)
    assert boots_on(image("ubuntu-24.04-cuda-12.8-open-docker"), cheapest.hardware)
    assert [each.slug for each in SIMULATED if each.is_default] == ["ubuntu-24.04-cuda-12.8-open-docker"]
    assert all(each.ssh_user == ("root" if each.is_cluster else "ubuntu") for each in SIMULATED)


@pytest.mark.parametrize(
    ("known_by", "slug"),
    [
        ("2404f580-1300-1111-82b3-f199fb9b701b", "ubuntu-24.04-cuda-13.0-open-docker"),
        ("77777777-4f48-4249-82b3-f199fb9b701b", "ubuntu-24.04-cuda-12.8-open-docker"),
        ("2088da25-bb0d-41cc-a191-dccae45d96fd", "ubuntu-22.04-cuda-12.0-docker"),
    ],
)
def test_images_that_clients_hold_fast_by_id_boot_on_every_type(known_by: str, slug: str) -> None:
    found = image(slug)
    assert found.known_id == ids.of_uuid(known_by)
    assert all(boots_on(found, offer.hardware) for offer in simulated.offers([]))


def test_a_host_sells_what_it_has_less_what_runs() -> None:
    capacity = Capacity(vcpu_count=4, ram_gb=15, cards=())

    def free(uses: list[Use]) -> dict[str, int]:
        offers = catalogue.offers(capacity, uses, THIS_HOST)
        return {offer.hardware.name: offer.free_units for offer in offers}

    assert free([]) == {"CPU.1V.2G": 4, "CPU.1V.4G": 3, "CPU.2V.4G": 2, "CPU.2V.8G": 1, "CPU.4V.8G": 1}
    assert free([Use(2, 8, 0)]) == {
        "CPU.1V.2G": 2,
        "CPU.1V.4G": 1,
        "CPU.2V.4G": 1,
        "CPU.2V.8G": 0,
        "CPU.4V.8G": 0,
    }
    assert all((offer.price_micros_per_hour or 0) > 0 for offer in catalogue.offers(capacity, [], THIS_HOST))


def test_a_host_with_cards_sells_them_whole() -> None:
    cards = tuple(
        gpus.Card(f"GPU-{n}", "RTX 4090", "NVIDIA GeForce RTX 4090", 24, f"/dev/nvidia{n}") for n in range(2)
    )
    capacity = Capacity(vcpu_count=16, ram_gb=63, cards=cards)
    offers = {offer.hardware.name: offer for offer in catalogue.offers(capacity, [Use(8, 31, 1)], THIS_HOST)}
    assert offers["1RTX4090.8V"].free_units == 1
    assert offers["2RTX4090.16V"].free_units == 0
    assert offers["1RTX4090.8V"].hardware.gpu_vram_gb == 24
    assert offers["1RTX4090.8V"].price_micros_per_hour == catalogue.GPU_MICROS_PER_HOUR["RTX 4090"]


@pytest.mark.parametrize(
    ("product", "model"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
    ],
)
def test_a_card_is_read_from_what_its_driver_says(product: str, model: str) -> None:
    information = f"Model: \t\t {product}\nIRQ:   \t\t 22\nGPU UUID: \t GPU-1234\nBus Location: \t 0000:00:05.0\nDevice Minor: \t 3\n"
    assert gpus.read_card(information, {"GPU-1234": 80}) == gpus.Card(
        "GPU-1234", model, product, 80, "/dev/nvidia3"
    )
    assert gpus.read_card("Model: something\n", {}) is None


def test_a_card_without_its_device_node_is_refused() -> None:
    with pytest.raises(Refused):
        gpus.nodes([gpus.Card("GPU-1", "H100", "NVIDIA H100", 80, "/dev/nvidia-not-there")])


def test_a_sold_out_offer_is_refused_and_a_stop_frees_it(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        offer = offered("8A100.176V@FIN-01")

        async def free() -> int:
            offers = (await driver.catalogue()).offers
            return next(
                each.free_units for each in offers if each.provider_offer_id == offer.provider_offer_id
            )

        orders = [
            rig.order(provider_offer_id=offer.provider_offer_id, hardware=offer.hardware)
            for _ in range(offer.free_units + 2)
        ]
        answers = await asyncio.gather(*(driver.create(each) for each in orders), return_exceptions=True)
        assert sum(isinstance(answer, NoCapacity) for answer in answers) == 2
        assert await free() == 0
        made = [
            each
            for each, answer in zip(orders, answers, strict=True)
            if not isinstance(answer, BaseException)
        ]
        missed = [
            each for each, answer in zip(orders, answers, strict=True) if isinstance(answer, BaseException)
        ]
        assert await driver.inspect(missed[0].label, None) is None
        await driver.stop(made[0].label.instance_id)
        assert await free() == 1
        await driver.create(missed[0])
        with pytest.raises(NoCapacity):
            await driver.start(made[0].label.instance_id)
        await until(driver, made[0].label, Power.STOPPED)

    in_sandbox(tmp_path, test)


def test_what_is_not_sold_is_refused(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        order = rig.order()
        for wrong in (
            replace(order, provider_offer_id="nothing@FIN-01"),
            replace(order, hardware=replace(order.hardware, vcpu_count=31)),
            replace(order, label=replace(order.label, install_id="other")),
            replace(order, label=replace(order.label, instance_id="../../etc")),
        ):
            with pytest.raises(Refused):
                await driver.create(wrong)
        assert not (await driver.list_own(rig.install_id)).sightings
        for verb in (driver.start, driver.stop, driver.restart):
            with pytest.raises(Refused):
                await verb("../../etc")
        await driver.destroy("../../etc")

    in_sandbox(tmp_path, test)


def test_this_host_really_sells_a_piece_of_itself(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        offer = next(each for each in (await driver.catalogue()).offers if each.free_units)
        assert not offer.is_simulated
        assert offer.place == THIS_HOST
        order = rig.order(provider_offer_id=offer.provider_offer_id, hardware=offer.hardware)
        sighting = await driver.create(order)
        assert await rig.run(sighting, "echo mine") == "mine\n"
        after = next(
            each
            for each in (await driver.catalogue()).offers
            if each.provider_offer_id == offer.provider_offer_id
        )
        assert after.free_units < offer.free_units

    in_sandbox(tmp_path, test, simulate=False)


def test_notes_say_how_far_instances_are_apart(tmp_path: Path) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        notes = " ".join(driver.abilities.notes)
        assert "it does not hold a hostile one" in notes
        assert "simulated" in notes
        assert "network" not in notes

    in_sandbox(tmp_path, test)


FORK_MANY = """
import os, signal, time
children = []
try:
    while len(children) < 1100:
        child = os.fork()
        if not child:
            time.sleep(60)
        children.append(child)
except OSError:
    pass
print(len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""


@pytest.mark.parametrize("limit", ["memory", "processes"])
def test_a_limit_that_is_published_holds(tmp_path: Path, limit: str) -> None:
    async def test(rig: SandboxRig, driver: SandboxDriver) -> None:
        if limit not in driver.abilities.limits:
            pytest.skip(f"{limit} cannot be limited on this host")
        offer = next(each for each in (await driver.catalogue()).offers if each.hardware.name == "CPU.1V.2G")
        order = rig.order(provider_offer_id=offer.provider_offer_id, hardware=offer.hardware)
        sighting = await driver.create(order)
        python = driver._instances.host.runtime.python
        connection = await rig.connect(sighting)
        if limit == "memory":
            answer = await connection.run(f"{python} -c 'print(len(b\"x\" * (2300 * 2**20)))'")
            assert answer.exit_status != 0
        else:
            answer = await connection.run(f"{python} -", input=FORK_MANY)
            assert 100 < int(str(answer.stdout)) < 1100
        connection.abort()

    in_sandbox(tmp_path, test, simulate=False)


def test_without_simulation_the_one_image_is_the_host_itself() -> None:
    image = of_this_host()
    assert image.gpu_models is None
    assert re.fullmatch(r"[a-z0-9.-]+", image.slug)
    assert image.slug.startswith(platform.freedesktop_os_release()["ID"])
