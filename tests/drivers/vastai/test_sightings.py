"""What an instance is said to be, in our words."""

from typing import Any

import pytest

from berth.core.driver import Label, Power
from berth.drivers.vastai import sightings

LABEL = Label("0a1b2c3d4e", "01K0000000000000000000000A")


def row(**said: Any) -> dict[str, Any]:
    return {
        "id": 41_000_000,
        "label": str(LABEL),
        "actual_status": "running",
        "intended_status": "running",
        "cur_state": "running",
        "next_state": "running",
        "public_ipaddr": " 203.0.113.7\n",
        "ssh_host": "ssh5.vast.ai",
        "ssh_port": 11_234,
        "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "40022"}]},
        "image_runtype": "ssh ssh_direc ssh_proxy",
        **said,
    }


@pytest.mark.parametrize(
    ("actual", "intended", "contract", "power"),
    [
        ("running", "running", "running", Power.RUNNING),
        ("running", "stopped", "running", Power.STOPPING),
        (None, "running", "running", Power.CREATING),
        ("created", "running", "running", Power.CREATING),
        ("loading", "running", "running", Power.CREATING),
        ("scheduling", "running", "stopped", Power.CREATING),
        ("rebooting", "running", "running", Power.CREATING),
        ("loading", "stopped", "running", Power.STOPPING),
        (None, "stopped", "stopped", Power.STOPPED),
        ("stopped", "stopped", "stopped", Power.STOPPED),
        ("exited", "stopped", "stopped", Power.STOPPED),
        ("frozen", "frozen", "stopped", Power.STOPPED),
        ("exited", "running", "running", Power.FAILED),
        ("exited", "running", "stopped", Power.CREATING),
        ("offline", "running", "running", Power.CREATING),
        ("unknown", "running", "running", Power.CREATING),
        ("offline", "stopped", "stopped", Power.STOPPED),
        ("something new", "running", "running", Power.CREATING),
    ],
)
def test_three_states_are_one(actual: str | None, intended: str, contract: str, power: Power) -> None:
    said = row(actual_status=actual, intended_status=intended, cur_state=contract)
    assert sightings.power_of(said) is power


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Error response from daemon: manifest for x/y:z not found: manifest unknown", sightings.PULL_FAILED),
        ("pull access denied for x/y, repository does not exist", sightings.PULL_FAILED),
        ("Error: failed to pull image x", sightings.PULL_FAILED),
        ("OCI runtime create failed: container_linux.go", sightings.START_FAILED),
        ("Error response from daemon: something", sightings.START_FAILED),
        ("d9fdf44d4e94: Pull complete", None),
        ("Successfully loaded x/y", None),
        ("", None),
        (None, None),
    ],
)
def test_a_boot_that_fails_is_seen_in_what_is_said_of_it(said: str | None, reason: str | None) -> None:
    seen = sightings.sighting(row(actual_status="loading", status_msg=said))
    assert (seen.power, seen.reason) == ((Power.FAILED, reason) if reason else (Power.CREATING, None))
    # Of what runs it is what was said some time ago.
    assert sightings.sighting(row(status_msg=said)).power is Power.RUNNING


@pytest.mark.parametrize(
    ("said", "reached"),
    [
        ({}, ("203.0.113.7", 40_022, {})),
        (
            {
                "ports": {
                    "22/tcp": [{"HostPort": "1"}],
                    "8000/tcp": [{"HostPort": "2"}],
                    "9/udp": [{"HostPort": "3"}],
                }
            },
            ("203.0.113.7", 1, {8000: 2}),
        ),
        ({"ports": None}, ("ssh5.vast.ai", 11_234, {})),
        ({"ports": None, "image_runtype": "jupyter_direc ssh_direc ssh_proxy"}, ("ssh5.vast.ai", 11_235, {})),
        ({"ports": {"22/tcp": []}}, ("ssh5.vast.ai", 11_234, {})),
        ({"ports": {"22/tcp": [{"HostPort": "ssh"}]}}, ("ssh5.vast.ai", 11_234, {})),
        ({"ports": [], "ssh_host": None}, (None, None, {})),
        ({"ports": {"22/tcp": [{"HostPort": "70000"}]}, "ssh_port": 0}, (None, None, {})),
        ({"public_ipaddr": None}, ("ssh5.vast.ai", 11_234, {})),
        (
            {"image_runtype": "args", "ports": {"8000/tcp": [{"HostPort": "2"}]}},
            ("203.0.113.7", None, {8000: 2}),
        ),
        ({"image_runtype": "args", "ports": None}, (None, None, {})),
    ],
)
def test_it_is_reached_at_its_host_or_by_the_proxy(said: dict[str, Any], reached: object) -> None:
    seen = sightings.sighting(row(**said))
    assert (seen.ip, seen.ssh_port, seen.ports) == reached


@pytest.mark.parametrize(
    ("said", "percent"),
    [(37.9, 37), (0, 0), (0.4, 0), (100, 100), (140, 100), (-3, 0), (None, None), ("?", None)],
)
def test_its_use_is_rounded_down_and_unknown_where_nobody_says(said: object, percent: int | None) -> None:
    assert sightings.sighting(row(gpu_util=said)).use_percent == percent
    assert sightings.sighting(row(gpu_util=said, actual_status="loading")).use_percent is None


def test_what_is_off_costs_its_disk_alone() -> None:
    prices = {"dph_total": "0.3125", "storage_cost": 0.15, "disk_space": 32.0}
    assert sightings.sighting(row(**prices)).cost_micros_per_hour == 312_500
    off = row(**prices, actual_status="exited", intended_status="stopped", cur_state="stopped")
    assert sightings.sighting(off).cost_micros_per_hour == 6667
    assert sightings.sighting({**off, "storage_cost": None}).cost_micros_per_hour is None


def test_who_was_outbid_is_off_and_says_so() -> None:
    off = row(actual_status="exited", intended_status="stopped", cur_state="stopped", next_state="stopped")
    assert sightings.sighting({**off, "is_bid": True}).reason == sightings.OUTBID
    assert sightings.sighting({**off, "is_bid": False}).reason is None


def test_it_is_known_by_its_label_and_its_number() -> None:
    seen = sightings.sighting(row(start_date=1_790_000_000.25))
    assert (seen.label, seen.handle, seen.created_at) == (LABEL, "41000000", 1_790_000_000_250_000)
    assert sightings.sighting(row(label="berth-prod-eu-01K0000000000000000000000A")).label is None
    assert sightings.sighting(row(label=None, id="x", start_date=None)).handle == ""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "The container's own command ended."),
        ("\n \n", "The container's own command ended."),
        ("one\ntwo\n\n", "The container's own command ended: two"),
        ("\x1b[31mred\x07\r\n", "The container's own command ended: [31mred"),
        ("x" * 500, "The container's own command ended: " + "x" * 200),
    ],
)
def test_the_last_line_of_a_log_says_why(log: str, reason: str) -> None:
    assert sightings.exited_saying(log) == reason
