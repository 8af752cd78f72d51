"""What Incus says, from answers recorded of Incus 6.0.4, and what we say to it."""

from dataclasses import replace
from typing import Any

import pytest

from berth.core.driver import (
    BadCredentials,
    CreateOrder,
    DriverError,
    Label,
    Mount,
    NoCapacity,
    OutcomeUnknown,
    Place,
    Power,
    Refused,
    Unreachable,
)
from berth.drivers.incus import IncusConfig, Location, TypeSold, names, translate
from berth.drivers.incus.errors import (
    Changed,
    Colliding,
    Exists,
    Missing,
    PortTaken,
    RunsAlready,
    StoppedAlready,
    error_of,
    failure_of,
)
from berth.drivers.incus.rooms import Grant

LABEL = Label("0a1b2c3d4e", "01M8AS8PJK2BZ5KHX37CC6B7HV")
SOLD = TypeSold("1H100.8V", 8, 64, 1_710_000, gpu_model="H100", gpu_count=1, gpu_vram_gb=80)
CONFIG = IncusConfig(types=(SOLD,), images=(), project="berth")
ORDER = CreateOrder(
    label=LABEL,
    provider_offer_id="1H100.8V@LAB-01",
    hardware=translate.hardware(SOLD),
    hostname="trainer",
    image_slug="debian-12",
    ssh_user="root",
    location="LAB-01",
    ssh_public_keys=["ssh-ed25519 AAAA"],
    os_volume_gb=50,
)

_MOUNTED = 'Failed to write backup file: Failed to create mount directory "/x/one": mkdir /x/one: file exists'
_TAKEN = (
    'Failed creating instance record: Add instance info to the database: Failed to create "instances" entry: '
    "UNIQUE constraint failed: instances.project_id, instances.name"
)
_LISTENING = (
    'Failed to start device "berth-ssh": Error occurred when starting proxy device: Error: Failed to listen on '
    "0.0.0.0:22001: listen tcp 0.0.0.0:22001: bind: address already in use"
)


def recorded(**changes: Any) -> dict[str, Any]:
    body = translate.instance_body(ORDER, SOLD, Grant("gpu2", ["0000:41:00.0"], 20_007), CONFIG)
    return {
        "name": body["name"],
        "status": "Running",
        "location": "gpu2",
        "config": {**body["config"], names.HOST_KEY: "SHA256:x", "volatile.last_state.power": "RUNNING"},
        "devices": body["devices"],
        "expanded_devices": body["devices"],
        "expanded_config": body["config"],
        "created_at": "2026-11-26T01:44:05.205686402Z",
        "last_used_at": "2026-11-26T01:44:19.994320345Z",
        **changes,
    }


@pytest.mark.parametrize(
    ("status", "sentence", "kind", "reason"),
    [
        (404, "Instance not found", Missing, None),
        (404, "Storage pool volume not found", Missing, None),
        (403, "not authorized", BadCredentials, None),
        (500, 'User does not have permissions for project "nope"', BadCredentials, None),
        (403, 'User does not have permission for project "nope"', BadCredentials, None),
        (404, "Project not found", BadCredentials, None),
        (500, _TAKEN, Exists, None),
        (409, "Volume by that name already exists", Exists, None),
        (400, _MOUNTED, Colliding, None),
        (500, "The instance is already running", RunsAlready, None),
        (500, "The instance is already stopped", StoppedAlready, None),
        (400, "Instance is running", Unreachable, None),
        (400, "Image not provided for instance creation", Refused,
         "The image is not available on the hosts at the moment."),
        (404, "Image alias not found", Refused, "The image is not available on the hosts at the moment."),
        (500, "No fingerprint prefix specified for the image", Refused,
         "The image is not available on the hosts at the moment."),
        (404, 'Cluster member "nope" not found', Unreachable, "The host is not available at the moment."),
        (500, 'Failed to start device "berth-gpu0": Invalid PCI address (no device found): 0000:41:00.0', NoCapacity,
         "The host's GPU is not available at the moment."),
        (500, 'Failed to start device "berth-gpu0": device 0000:41:00.0 is already in use', NoCapacity,
         "The host's GPU is in use."),
        (500, _LISTENING, PortTaken, None),
        (500, "write /x: no space left on device", NoCapacity, "The host's storage is full."),
        (500, "mkdir /x: disk quota exceeded", NoCapacity, "The host's storage is full."),
        (500, "no capacity", NoCapacity, None),
        (412, "ETag doesn't match", Changed, None),
        (503, "No available cowsql leader server found", OutcomeUnknown, None),
        (500, "Whatever else", OutcomeUnknown, None),
        (400, 'Invalid instance name: Name must not end with "-" character', Refused, None),
    ],
)  # fmt: skip
def test_a_refusal_is_named_for_what_to_do_next(
    status: int, sentence: str, kind: type[DriverError], reason: str | None
) -> None:
    found = error_of(status, sentence, changes=True, what="POST /1.0/instances")
    assert type(found) is kind
    assert found.reason == reason
    assert sentence[:50] in str(found)


@pytest.mark.parametrize("sentence", ["Whatever else", "No available cowsql leader server found"])
def test_a_question_that_failed_changed_nothing(sentence: str) -> None:
    assert type(error_of(500, sentence, changes=False, what="GET /1.0")) is Unreachable


def test_an_operation_that_ended_in_failure_left_nothing_unless_a_member_went_away() -> None:
    assert type(failure_of("Failed to run: mkfs.ext4", "POST /1.0/instances")) is Refused
    assert type(failure_of("unable to connect to: 10.0.0.3:8443", "POST /1.0/instances")) is OutcomeUnknown


def test_what_is_asked_for_has_its_label_its_limits_its_card_and_its_port() -> None:
    body = translate.instance_body(
        replace(ORDER, mounts=(Mount("v-1", "data"), Mount("v-2", "home", "/home"))),
        SOLD,
        Grant("gpu2", ["0000:41:00.0"], 20_007),
        CONFIG,
    )
    assert body["name"] == "berth-0a1b2c3d4e-01m8as8pjk2bz5khx37cc6b7hv"
    assert (body["type"], body["source"]) == ("container", {"type": "image", "alias": "debian-12"})
    assert (
        body["config"]
        | {
            names.INSTALLATION: LABEL.install_id,
            names.INSTANCE: LABEL.instance_id,
            "limits.cpu": "8",
            "limits.memory": "64GiB",
            "nvidia.runtime": "true",
            "cluster.evacuate": "stop",
            names.GPUS: "1",
        }
        == body["config"]
    )
    assert body["devices"] == {
        "root": {"type": "disk", "path": "/", "pool": "default", "size": "50GiB"},
        "berth-gpu0": {"type": "gpu", "gputype": "physical", "pci": "0000:41:00.0"},
        "v-1": {"type": "disk", "pool": "default", "source": "v-1", "path": "/mnt/data"},
        "v-2": {"type": "disk", "pool": "default", "source": "v-2", "path": "/home"},
        "berth-ssh": {"type": "proxy", "listen": "tcp:0.0.0.0:20007", "connect": "tcp:127.0.0.1:22"},
    }


def test_a_virtual_machine_is_asked_for_as_one() -> None:
    sold = replace(SOLD, is_virtual_machine=True)
    body = translate.instance_body(ORDER, sold, Grant("gpu2", ["0000:41:00.0"], 1), CONFIG)
    assert body["type"] == "virtual-machine"
    assert "nvidia.runtime" not in body["config"]
    assert "limits.processes" not in body["config"]


@pytest.mark.parametrize(
    ("status", "changes", "power", "is_unreachable"),
    [
        ("Running", {}, Power.RUNNING, False),
        ("Stopped", {}, Power.STOPPED, False),
        ("Stopped", {"last_used_at": "1970-01-01T00:00:00Z"}, Power.CREATING, False),
        ("Frozen", {}, Power.RUNNING, False),
        ("Stopping", {}, Power.STOPPING, False),
        ("Error", {}, Power.RUNNING, True),
        ("Error", {"config": {"volatile.last_state.power": "STOPPED"}}, Power.STOPPED, True),
        ("Error", {"config": {}, "devices": {}, "expanded_devices": {}}, Power.RUNNING, True),
        ("Something new", {}, Power.RUNNING, True),
    ],
)
def test_a_status_that_says_nothing_is_a_host_that_is_not_heard_from(
    status: str, changes: dict[str, Any], power: Power, is_unreachable: bool
) -> None:
    seen = translate.sighting(recorded(status=status, **changes), CONFIG, host="192.0.2.1", evicts_at=None)
    assert (seen.power, seen.is_unreachable) == (power, is_unreachable)
    assert seen.label == LABEL or changes.get("config")


def test_an_instance_is_reached_at_a_port_of_its_member_or_at_an_address_of_its_own() -> None:
    seen = translate.sighting(recorded(), CONFIG, host="192.0.2.1", evicts_at=None)
    assert (seen.label, seen.handle) == (LABEL, "berth-0a1b2c3d4e-01m8as8pjk2bz5khx37cc6b7hv")
    assert (seen.ip, seen.ssh_port, seen.ssh_user) == ("192.0.2.1", 20_007, "root")
    assert seen.ssh_host_key_fingerprint == "SHA256:x"
    addresses = [
        {"family": "inet6", "scope": "link", "address": "fe80::1"},
        {"family": "inet", "scope": "global", "address": "10.7.0.4"},
    ]
    state = {"network": {"lo": {"addresses": addresses}, "eth0": {"addresses": addresses}}}
    seen = translate.sighting(
        recorded(state=state), replace(CONFIG, ssh="address"), host=None, evicts_at=None
    )
    assert (seen.ip, seen.ssh_port) == ("10.7.0.4", 22)


def test_what_an_instance_has_is_read_off_its_devices_and_limits() -> None:
    used = translate.use(recorded())
    assert (used.member, used.vcpus, used.ram_mb, used.holds) == ("gpu2", 8, 64 * 1024, True)
    assert (used.cards, used.ports) == (frozenset({"0000:41:00.0"}), frozenset({20_007}))
    config = recorded()["config"]
    assert translate.use(recorded(status="Stopped")).holds
    given_back = {**config, names.HOLDS: "0"}
    assert not translate.use(recorded(status="Stopped", expanded_config=given_back)).holds
    assert translate.use(recorded(status="Running", expanded_config=given_back)).holds
    somebodys = recorded(
        status="Stopped",
        expanded_config={"limits.cpu": "0-3,8"},
        expanded_devices={"any": {"type": "gpu", "gputype": "physical"}},
    )
    used = translate.use(somebodys)
    assert (used.vcpus, used.has_all_cards, used.holds) == (5, True, True)


def test_a_member_is_a_room_while_it_answers_and_nobody_empties_it() -> None:
    member = {"server_name": "gpu1", "status": "Online", "config": {}, "url": "https://192.0.2.7:8443"}
    resources = {
        "cpu": {"total": 64},
        "memory": {"total": 256 * 1024**3},
        "gpu": {
            "cards": [{"pci_address": "0000:41:00.0", "product": "GH100", "nvidia": {"model": "NVIDIA H100"}}]
        },
    }

    def room(**changes: Any) -> Any:
        return translate.room({**member, **changes}, resources, "LAB-01", reserved_ram_gb=2, has_room=True)

    assert (room().is_open, room().vcpus, room().ram_mb) == (True, 64, 254 * 1024)
    assert [card.pci for card in room().cards] == ["0000:41:00.0"]
    assert not room(status="Offline").is_open
    assert not room(status="Evacuated").is_open
    assert not room(config={names.EVACUATES_AT: "1790000000000000"}).is_open
    assert (
        translate.evicts_at({**member, "config": {names.EVACUATES_AT: "1790000000000000"}})
        == 1790000000000000
    )
    assert translate.host_of(member, "gpu1", {}) == "192.0.2.7"
    assert translate.host_of(member, "gpu1", {"gpu1": "203.0.113.7"}) == "203.0.113.7"


def test_what_is_not_ours_is_kept_when_an_instance_is_written_back() -> None:
    found = recorded(profiles=["default", "special"], description="mine", architecture="x86_64")
    found["config"]["security.nesting"] = "true"
    written = translate.written(found, config={names.HOLDS: "0", names.MOVE: None})
    assert written["profiles"] == ["default", "special"]
    assert written["config"]["security.nesting"] == "true"
    assert written["config"][names.HOLDS] == "0"
    assert names.MOVE not in written["config"]
    assert written["devices"] == found["devices"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10GiB", 10 * 1024**3),
        ("500MB", 500_000_000),
        ("1024", 1024),
        ("50%", 0),
        ("", 0),
        ("x", 0),
        ("1QiB", 0),
    ],
)
def test_sizes_are_read_as_the_engine_writes_them(text: str, size: int) -> None:
    assert translate.size(text) == size


def test_a_volume_says_who_has_it() -> None:
    volume = {
        "name": "v-1",
        "config": {"size": "10GiB", names.INSTALLATION: "a", names.INSTANCE: "B"},
        "used_by": ["/1.0/instances/b-1?project=berth", "/1.0/profiles/default"],
    }
    seen = translate.volume_sighting(volume, is_ready=True)
    assert (seen.label, seen.size_gb, seen.attached_to) == (Label("a", "B"), 10, frozenset({"b-1"}))


def test_members_that_no_location_names_are_not_sold() -> None:
    config = replace(CONFIG, locations=(Location(Place("HEL-01", "Helsinki", "FI"), frozenset({"gpu1"})),))
    place = config.location_of("gpu1")
    assert place is not None
    assert place.code == "HEL-01"
    assert config.location_of("gpu9") is None
    assert CONFIG.location_of("gpu9") is not None
