"""What a create says: image, ports, keys, scripts, within what the service takes."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from berth.core.driver import CreateOrder, Hardware, Label, Launch, ProviderTemplate, Refused
from berth.drivers.vastai import images
from berth.drivers.vastai.launching import ONSTART_LIMIT, start_of
from tests.drivers.vastai.rig import KEY

ORDER = CreateOrder(
    label=Label("0a1b2c3d4e", "01K0000000000000000000000A"),
    provider_offer_id="20000000",
    hardware=Hardware("1RTX4090.24V", "RTX 4090", 1, 24, 16, 64, 100),
    hostname="trainer",
    image_slug="ubuntu-22.04-cuda-12.6",
    ssh_user="root",
    location="US",
    ssh_public_keys=[KEY],
    os_volume_gb=50,
)
TEMPLATE = ProviderTemplate("1" * 32, 1, "vLLM", "vllm/vllm-openai", onstart="entrypoint.sh &\n")
LONG_KEY = "ssh-rsa " + "A" * 3000 + " someone"


def body_of(order: CreateOrder, template: ProviderTemplate | None = None) -> Any:
    return start_of(order, template, disk_gb=32).body


def test_an_order_over_ssh() -> None:
    start = start_of(ORDER, None, disk_gb=32)
    body = dict(start.body)
    onstart = body.pop("onstart")
    assert body == {
        "client_id": "me",
        "label": str(ORDER.label),
        "disk": 50,
        "cancel_unavail": True,
        "image": "nvidia/cuda:12.6.3-runtime-ubuntu22.04",
        "runtype": "ssh_direc ssh_proxy",
        "env": {},
    }
    assert KEY in onstart
    assert start.keys_to_attach == ()


def test_an_entrypoint_has_arguments_and_ports_and_no_keys() -> None:
    launch = Launch(
        "vllm/vllm-openai:latest", arguments=("--model", "x y"), ports=(8000, 8001), is_entrypoint=True
    )
    body = body_of(replace(ORDER, launch=launch, environment={"MODEL": "x"}))
    assert (body["image"], body["runtype"], body["args"]) == (launch.image, "args", ["--model", "x y"])
    assert body["env"] == {"-p 8000:8000": "1", "-p 8001:8001": "1", "MODEL": "x"}
    assert "onstart" not in body


def test_a_template_starts_as_it_says_and_lets_the_keys_in_first() -> None:
    body = body_of(replace(ORDER, launch=Launch(template=TEMPLATE.hash_id)), TEMPLATE)
    assert body["template_hash_id"] == TEMPLATE.hash_id
    assert "image" not in body
    assert body["onstart"].index(KEY) < body["onstart"].index("entrypoint.sh &")
    other = body_of(replace(ORDER, launch=Launch("x/y", template=TEMPLATE.hash_id)), TEMPLATE)
    assert other["image"] == "x/y"


def test_what_is_bid_is_sent_in_dollars() -> None:
    body = body_of(replace(ORDER, is_spot=True, launch=Launch(bid_micros_per_hour=123_456)))
    assert str(body["price"]) == "0.123456"
    assert "price" not in body_of(ORDER)
    with pytest.raises(Refused):
        body_of(replace(ORDER, is_spot=True))


@pytest.mark.parametrize(("wanted", "sent"), [(0, 32), (5, 8), (8, 8), (500, 500)])
def test_a_disk_is_what_was_ordered_or_what_is_usual_and_never_too_small(wanted: int, sent: int) -> None:
    assert body_of(replace(ORDER, os_volume_gb=wanted))["disk"] == sent


def test_keys_that_do_not_fit_are_attached_instead() -> None:
    keys = [LONG_KEY, LONG_KEY.replace("someone", "else"), KEY]
    start = start_of(replace(ORDER, ssh_public_keys=keys), TEMPLATE, disk_gb=32)
    assert list(start.keys_to_attach) == keys
    assert start.body["onstart"] == "entrypoint.sh &"
    assert not any(key in start.body["onstart"] for key in keys)


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, image_slug="windows"),
        replace(ORDER, launch=Launch("x" * 1025)),
        replace(ORDER, launch=Launch("")),
        replace(ORDER, launch=Launch("x", arguments=["x" * 4097], is_entrypoint=True)),
        replace(ORDER, environment={"X": "x" * 32_768}),
        replace(ORDER, startup_script="#!/bin/sh\n" + os.urandom(40_000).hex()),
    ],
)
def test_what_the_service_would_not_take_is_not_sent(order: CreateOrder) -> None:
    with pytest.raises(Refused) as refusal:
        start_of(order, None, disk_gb=32)
    assert refusal.value.reason


@pytest.mark.parametrize("name", ["-p 80:80", "--privileged", "-e X=1", "X Y", "X=Y", "", "1X", "é"])
def test_a_name_of_the_environment_is_no_flag_of_the_container(name: str) -> None:
    """The service takes names that look like flags for flags."""
    with pytest.raises(Refused) as refusal:
        body_of(replace(ORDER, environment={name: "1"}))
    assert refusal.value.reason


def test_the_port_of_ssh_is_mapped_by_the_service_itself() -> None:
    assert body_of(replace(ORDER, launch=Launch(ports=(22, 8000))))["env"] == {"-p 8000:8000": "1"}
    launch = Launch("x", ports=(22,), is_entrypoint=True)
    assert body_of(replace(ORDER, launch=launch))["env"] == {"-p 22:22": "1"}


def test_a_template_whose_own_start_is_too_long_is_refused() -> None:
    with pytest.raises(Refused):
        start_of(ORDER, replace(TEMPLATE, onstart="x" * (ONSTART_LIMIT + 1)), disk_gb=32)


def test_the_start_lets_every_key_in_once_and_runs_the_script_once(tmp_path: Path) -> None:
    odd = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f it\'s "$(reboot)" `x`'
    script = f"#!/bin/sh\necho ran >> {tmp_path}/ran\necho 'ä' \"$HOME\"\n"
    body = body_of(replace(ORDER, ssh_public_keys=[KEY, odd], startup_script=script))
    assert len(body["onstart"].encode()) <= ONSTART_LIMIT
    onstart = body["onstart"].replace("~root", str(tmp_path))
    for _ in range(2):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **body["env"]}
        subprocess.run(["/bin/sh", "-eu", "-c", onstart], env=environment, check=True, timeout=20)
    assert (tmp_path / ".ssh/authorized_keys").read_text().splitlines() == [KEY, odd]
    assert (tmp_path / ".ssh/authorized_keys").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert (tmp_path / "startup-script.log").read_text() == "ä /nowhere\n"


def test_images_that_are_offered_can_be_pulled() -> None:
    offered = images.offered()
    assert [image.is_default for image in offered].count(True) == 1
    assert all(images.pulled(image.slug) for image in offered)
    assert offered[0].slug == "ubuntu-22.04-cuda-12.6"
