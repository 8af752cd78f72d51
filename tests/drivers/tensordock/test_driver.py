"""What is particular about buying from TensorDock: its orders, its shapes, its addresses."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from berth.core.driver import (
    Label,
    Launch,
    NotSupported,
    Power,
    Refused,
    Sighting,
    Unreachable,
)
from berth.drivers.tensordock import TensorDockConfig, TensorDockDriver, cloud_init
from tests.drivers.tensordock.doors import Doors
from tests.drivers.tensordock.rig import IMAGE, KEY, TensorDockRig, only, over, until
from tests.drivers.tensordock.service import Service, serving
from tests.drivers.tensordock.stock import DALLAS, H100, HOSTNODES, OSLO, RTX4090

_REPOSITORY = Path(__file__).parents[3]


def test_empty_locations_are_an_empty_catalogue() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.locations = []
        catalogue = await driver.catalogue()
        assert catalogue.offers == []
        assert IMAGE in {image.slug for image in catalogue.images}

    over(test)


def test_hosts_that_may_be_seen_add_what_locations_do_not_list() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        before = {offer.provider_offer_id for offer in (await driver.catalogue()).offers}
        rig.service.hostnodes = HOSTNODES
        after = {offer.provider_offer_id for offer in (await driver.catalogue()).offers}
        assert after - before == {f"{OSLO}-l40s-pcie-48gb", f"{OSLO}-l40s-pcie-48gb:2"}

    over(test)


def test_an_order_is_written_as_the_service_wants_it() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = replace(rig.order(), os_volume_gb=120, launch=Launch(ports=(8000,)))
        await driver.create(order)
        asked = only(rig).attributes
        assert asked["name"] == str(order.label)
        assert asked["resources"] == {
            "vcpu_count": 8,
            "ram_gb": 32,
            "storage_gb": 150,
            "gpus": {RTX4090: {"count": 1}},
        }
        assert (asked["location_id"], asked["ssh_key"], asked["image"]) == (DALLAS, KEY, IMAGE)
        assert [each["internal_port"] for each in asked["port_forwards"]] == [22, 8000]
        assert "useDedicatedIp" not in asked
        sighting = await until(driver, order.label, Power.RUNNING)
        assert list(sighting.ports) == [8000]
        assert sighting.ssh_port not in {None, 22, 20_022}

    over(test)


def test_several_gpus_are_ordered_with_what_was_priced() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = replace(rig.order(), provider_offer_id=f"{DALLAS}-{RTX4090}:2")
        await driver.create(order)
        assert only(rig).resources["gpus"] == {RTX4090: {"count": 2, "v0Name": RTX4090}}
        sighting = await until(driver, order.label, Power.RUNNING)
        offers = {each.provider_offer_id: each for each in (await driver.catalogue()).offers}
        assert sighting.cost_micros_per_hour == offers[order.provider_offer_id].cost_micros_per_hour

    over(test)


def test_the_external_port_is_the_one_that_was_given_and_moves_with_it() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        made = await driver.create(order)
        assert (made.power, made.ip, made.ssh_port) == (Power.CREATING, None, None)
        sighting = await until(driver, order.label, Power.RUNNING)
        assert sighting.ssh_port == only(rig).forwards[0]["external_port"]
        only(rig).forwards[0]["external_port"] = 41_234
        again = await driver.inspect(order.label, sighting.handle)
        assert again is not None
        assert (again.ssh_port, again.ssh_user) == (41_234, "root")

    over(test)


def test_a_location_that_forwards_nothing_gives_an_address_of_its_own() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = replace(rig.order(), provider_offer_id=f"{OSLO}-{H100}")
        await driver.create(order)
        asked = only(rig).attributes
        assert asked["useDedicatedIp"] is True
        assert "port_forwards" not in asked
        after = rig.driver()
        try:
            sighting = await until(after, order.label, Power.RUNNING)
        finally:
            await after.close()
        assert (sighting.ssh_port, sighting.label) == (22, order.label)

    over(test)


def test_port_22_of_an_address_that_is_shared_is_never_taken_for_ours() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.faults.ignores_forwards = True
        order = rig.order()
        await driver.create(order)
        sighting = await until(driver, order.label, Power.RUNNING)
        assert (sighting.ip is not None, sighting.ssh_port) == (True, None)

    over(test)


@pytest.mark.parametrize("shape_of_list", ["documented", "live", "bare"])
@pytest.mark.parametrize("shape_of_show", ["flat", "data", "attributes"])
def test_every_shape_of_list_and_show_is_understood(shape_of_list: Any, shape_of_show: Any) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.shape_of_list, rig.service.shape_of_show = shape_of_list, shape_of_show
        order = rig.order()
        await driver.create(order)
        sighting = await until(driver, order.label, Power.RUNNING)
        assert (sighting.ip, sighting.cost_micros_per_hour) == ("192.0.2.1", 443_000)
        listing = await driver.list_own(rig.install_id)
        assert [each.handle for each in listing.sightings] == [sighting.handle]
        assert listing.is_complete

    over(test)


@pytest.mark.parametrize("wrapped", [{"data": {}}, {}], ids=["wrapped", "flat"])
def test_a_create_is_understood_with_and_without_a_wrapper(wrapped: dict[str, Any]) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        body = '{"type": "virtualmachine", "id": "abc", "name": "n", "status": "QUEUED"}'
        text = f'{{"data": {body}}}' if wrapped else body
        rig.service.faults.answers.append(("POST /instances", 200, text, {}))
        made = await driver.create(rig.order())
        assert (made.handle, made.power) == ("abc", Power.CREATING)

    over(test)


@pytest.mark.parametrize(
    ("status", "power"),
    [
        ("Creating", Power.CREATING),
        ("QUEUED", Power.CREATING),
        ("starting", Power.CREATING),
        ("RUNNING", Power.RUNNING),
        ("Stopping", Power.STOPPING),
        ("stopped", Power.STOPPED),
        ("StoppedDisassociated", Power.STOPPED),
        ("deleting", Power.DELETING),
        ("Error", Power.FAILED),
    ],
)
def test_every_status_has_a_meaning_in_any_case(status: str, power: Power) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        await driver.create(order)
        only(rig).status, only(rig).path = status, []
        sighting = await driver.inspect(order.label, None)
        assert sighting is not None
        assert sighting.power is power
        assert (sighting.reason is not None) == (power is Power.FAILED)

    over(test)


@pytest.mark.parametrize("status", ["Deleted", "TERMINATED"])
def test_what_the_service_calls_ended_is_gone(status: str) -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        handle = (await driver.create(order)).handle
        only(rig).status, only(rig).path = status, []
        assert await driver.inspect(order.label, handle) is None
        assert await driver.list_own(rig.install_id) == (await driver.list_own("nobody"))

    over(test)


def test_a_status_that_says_nothing_is_never_absence() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        await driver.create(order)
        only(rig).status, only(rig).path = "hibernating", []
        with pytest.raises(Unreachable):
            await driver.inspect(order.label, None)
        listing = await driver.list_own(rig.install_id)
        assert (listing.sightings, listing.is_complete) == ((), False)

    over(test)


def test_a_status_that_says_nothing_of_one_hides_no_other() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        first, second = rig.order(), rig.order()
        handle = (await driver.create(first)).handle
        await driver.create(second)
        odd = rig.service.machines[handle]
        odd.status, odd.path = "hibernating", []
        listing = await driver.list_own(rig.install_id)
        assert [sighting.label for sighting in listing.sightings] == [second.label]
        assert not listing.is_complete

    over(test)


def test_two_installations_on_one_account_never_touch_each_other() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        # The one's name begins like the other's.
        other = TensorDockRig(rig.service, rig.base_url, install_id=f"{rig.install_id}0")
        theirs = other.driver()
        try:
            mine, his = rig.order(), other.order()
            same = replace(his, label=Label(other.install_id, mine.label.instance_id))
            made = [await driver.create(mine), await theirs.create(his), await theirs.create(same)]
            assert len({each.handle for each in made}) == 3
            assert [each.label for each in (await driver.list_own(rig.install_id)).sightings] == [mine.label]
            assert {each.label for each in (await theirs.list_own(other.install_id)).sightings} == {
                his.label,
                same.label,
            }
            assert await driver.inspect(Label(rig.install_id, his.label.instance_id), None) is None
            # A handle that belongs to somebody else says nothing of ours.
            assert await driver.inspect(Label(rig.install_id, his.label.instance_id), made[1].handle) is None
            assert await theirs.inspect(same.label, made[0].handle) is not None
        finally:
            await theirs.close()

    over(test)


def test_what_others_made_by_hand_is_not_ours() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        order = rig.order()
        await driver.create(order)
        for name in ("my-server", f"{order.label}-2", f"x{order.label}", "berth--", f"shopper-{order.label}"):
            only(rig).name = name
            assert not (await driver.list_own(rig.install_id)).sightings
            assert await driver.inspect(order.label, None) is None

    over(test)


def test_what_it_cannot_do_is_said() -> None:
    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        able = driver.abilities
        assert (able.restart, able.containers, able.volumes, able.stop_releases_hardware) == (False,) * 4
        with pytest.raises(NotSupported):
            await driver.restart("x")
        for order in (
            replace(rig.order(), provider_offer_id="nothing"),
            replace(rig.order(), ssh_public_keys=[]),
            replace(rig.order(), image_slug="beos"),
            replace(rig.order(), environment={"NOT A NAME": "x"}),
        ):
            with pytest.raises(Refused):
                await driver.create(order)
        assert not rig.service.machines

    over(test)


def test_the_service_meters_each_second_that_it_sold() -> None:
    class Turned:
        at = 1_000_000

        def now(self) -> Any:
            return self.at

    async def test(rig: TensorDockRig, driver: TensorDockDriver) -> None:
        rig.service.clock = clock = Turned()
        handle = (await driver.create(rig.order())).handle
        clock.at += 1800 * 1_000_000
        await driver.destroy(handle)
        clock.at += 9999 * 1_000_000
        assert rig.service.metered_micros() == 443_000 // 2 * 1_000_000 // 1_000_000

    over(test)


def test_what_runs_at_the_first_boot_lets_its_keys_in_and_starts_the_script(tmp_path: Path) -> None:
    home, odd = tmp_path / "home", "ssh-ed25519 AAAA it's $(touch /tmp/never) `x`"
    commands = cloud_init.run_commands(
        [KEY, odd], {"GREETING": "it's $HOME"}, "#!/bin/sh\necho $GREETING > done\n"
    )
    script = "\n".join(commands).replace("/root", f"{home}/root").replace("/home/user", f"{home}/user")
    script = script.replace("/etc/profile.d", str(tmp_path)).replace("/var/lib", str(tmp_path))
    # Neither `user` nor the right to give files away is there in a test: what needs them is left out.
    runnable = "\n".join(
        line.replace("-o root -g $(id -gn root) ", "").replace("-o user -g $(id -gn user) ", "")
        for line in script.splitlines()
        if not line.startswith("chown")
    )
    subprocess.run(["sh", "-ec", runnable], check=True, cwd=tmp_path, timeout=20)
    for user in cloud_init.USERS:
        file = home / user / ".ssh" / "authorized_keys"
        assert file.read_text() == f"{KEY}\n{odd}\n"
        assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "done").read_text() == "it's $HOME\n"
    assert base64.b64encode(b"#!/bin/sh").decode()[:10] in script


def test_the_keys_of_an_order_open_what_it_made_for_both_users() -> None:
    async def test(rig: TensorDockRig, _driver: TensorDockDriver) -> None:
        key, stranger = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        public = key.export_public_key("openssh").decode()
        doors = Doors()
        service = Service(doors=doors)
        async with serving(service) as url:
            driver = TensorDockRig(service, url).driver()
            try:
                order = replace(rig.order(), ssh_public_keys=[KEY, public])
                await driver.create(order)
                sighting = await until(driver, order.label, Power.RUNNING)
                assert sighting.ssh_user == "root"
                for user in ("root", "user"):
                    assert await echoed(sighting, user, key) == "hello\n"
                with pytest.raises(asyncssh.PermissionDenied):
                    await echoed(sighting, "root", stranger)
            finally:
                await driver.close()
                doors.close()

    over(test)


async def echoed(sighting: Sighting, user: str, key: asyncssh.SSHKey) -> str:
    assert sighting.ip is not None
    assert sighting.ssh_port is not None
    async with asyncssh.connect(
        sighting.ip, sighting.ssh_port, username=user, client_keys=[key], known_hosts=None, config=None
    ) as connection:
        return str((await connection.run("echo hello", check=True)).stdout)


def test_the_stand_in_runs_as_a_process_and_tells_what_it_sold() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.drivers.tensordock.process"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{_REPOSITORY}/src:{_REPOSITORY}"},
    ) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())

            async def buy() -> None:
                driver = TensorDockDriver(TensorDockConfig(said["url"], said["token"]))
                await driver.create(TensorDockRig(Service(), said["url"]).order())
                await driver.close()

            asyncio.run(buy())
            with urllib.request.urlopen(f"{said['url']}/_test/meter", timeout=10) as answer:
                (row,) = json.load(answer)["machines"]
            assert (row["is_there"], row["rate_hourly"]) == (True, 0.443)
        finally:
            process.terminate()
    assert process.returncode == 0
