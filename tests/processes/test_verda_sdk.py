"""The official Python client, unchanged but for its base URL, against a real server and what really runs there.

What its own integration tests ask of a server is asked here too, with the same names.
"""

import time
from collections.abc import Callable
from typing import Any

import asyncssh
import pytest
from verda import VerdaClient
from verda.constants import Actions, ErrorCodes, InstanceStatus, Locations, VolumeStatus
from verda.exceptions import APIException

from tests.conftest import Databases
from tests.processes.running import Server, pause

pytestmark = pytest.mark.slow
TYPE = "CPU.4V.16G"
IMAGE = "ubuntu-22.04"
CLUSTER_TYPE = "16B200"
CLUSTER_IMAGE = "ubuntu-22.04-cuda-12.9-cluster"
_WAIT_S = 60.0


@pytest.fixture
def client(server: Server, databases: Databases, engine: str) -> Any:
    """On both engines."""
    if engine == "postgresql":
        server.database_url = databases.migrated(engine)
    server.start()
    credentials = server.credentials()
    return VerdaClient(
        credentials["client_id"],
        credentials["client_secret"],
        base_url=f"http://127.0.0.1:{server.port}/v1",
    )


def until(found: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    ends_at = time.monotonic() + _WAIT_S
    while not is_so(value := found()):
        assert time.monotonic() < ends_at, value
        pause()
    return value


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and the message that the client reads in a refusal."""
    with pytest.raises(APIException) as error:
        call()
    return error.value.code, error.value.message


def test_the_catalogue_reads_as_the_client_expects_it(client: Any) -> None:
    assert client.balance.get().currency == "usd"
    locations = client.locations.get()
    assert {locations[0]["code"], locations[1]["code"]} == {Locations.FIN_01, Locations.ICE_01}
    assert locations[0]["name"] != locations[1]["name"]
    assert locations[0]["country_code"] != locations[1]["country_code"]
    types = {each.instance_type: each for each in client.instance_types.get()}
    assert types["1H100.80S.30V"].gpu["description"] == "1x H100 SXM5 80GB"
    assert types["CPU.4V.16G"].price_per_hour > types["CPU.4V.16G"].spot_price_per_hour > 0
    euros = {each.instance_type: each for each in client.instance_types.get(currency="eur")}
    assert euros["1H100.80S.30V"].price_per_hour < types["1H100.80S.30V"].price_per_hour
    assert {IMAGE, "ubuntu-24.04-cuda-12.8-open-docker"} <= {each.image_type for each in client.images.get()}
    assert IMAGE in {each.image_type for each in client.images.get(instance_type=TYPE)}
    assert {each.type for each in client.volume_types.get()} >= {"NVMe", "HDD"}
    assert all(each.serverless_price for each in client.container_types.get())
    assert [each.code for each in client.long_term.get_instance_periods()]
    assert [each.code for each in client.long_term.get_cluster_periods()]


def test_availability_reads_as_the_client_expects_it(client: Any) -> None:
    everywhere = client.instances.get_availabilities()
    assert {everywhere[0]["location_code"], everywhere[1]["location_code"]} == {"FIN-01", "ICE-01"}
    assert everywhere[0]["availabilities"]
    assert everywhere[1]["availabilities"]
    (one,) = client.instances.get_availabilities(location_code=Locations.FIN_01)
    assert one["location_code"] == Locations.FIN_01
    for is_spot in (False, True):
        assert client.instances.is_available(TYPE, is_spot=is_spot, location_code=Locations.FIN_03) is True
        assert client.instances.get_availabilities(is_spot=is_spot)
    assert client.instances.is_available("CPU.4V", location_code=Locations.FIN_01) is False


def test_keys_and_scripts_are_kept_as_they_were_sent(client: Any) -> None:
    line = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQtest test@example.com\n"
    key = client.ssh_keys.create("test key", line)
    assert client.ssh_keys.get_by_id(key.id).public_key == line
    assert key.id in {each.id for each in client.ssh_keys.get()}
    client.ssh_keys.delete([key.id])
    client.ssh_keys.delete([key.id])
    assert refused(lambda: client.ssh_keys.get_by_id(key.id))[0] == ErrorCodes.NOT_FOUND
    scripts = [client.startup_scripts.create(f"script {number}", "echo\n") for number in range(12)]
    assert {each.id for each in client.startup_scripts.get()} == {each.id for each in scripts}
    assert client.startup_scripts.get_by_id(scripts[0].id).script == "echo\n"
    client.startup_scripts.delete_by_id(scripts[0].id)
    client.startup_scripts.delete([each.id for each in scripts[1:]])
    assert client.startup_scripts.get() == []


def test_an_instance_is_walked_from_its_order_to_its_end(client: Any, login_key: asyncssh.SSHKey) -> None:
    key = client.ssh_keys.create("laptop", login_key.export_public_key().decode())
    script = client.startup_scripts.create("setup", "#!/bin/sh\ntrue\n")
    made = client.instances.create(
        instance_type=TYPE,
        image=IMAGE,
        hostname="test-instance",
        description="test instance",
        ssh_key_ids=[key.id],
        location=Locations.FIN_03,
        startup_script_id=script.id,
    )
    # The client's own test: it waits until the status is no longer `ordered`, and asserts this one.
    assert made.status == InstanceStatus.PROVISIONING
    assert (made.ip, made.startup_script_id, made.ssh_key_ids) == (None, script.id, [key.id])

    def status(wanted: str) -> Any:
        return until(lambda: client.instances.get_by_id(made.id), lambda seen: seen.status == wanted)

    assert status(InstanceStatus.RUNNING).ip
    assert [each.id for each in client.instances.get()] == [made.id]
    assert [each.id for each in client.instances.get(status="running")] == [made.id]
    client.instances.action(made.id, Actions.SHUTDOWN)
    status(InstanceStatus.OFFLINE)
    client.instances.action([made.id], Actions.SHUTDOWN)
    client.instances.action(made.id, Actions.START)
    status(InstanceStatus.RUNNING)
    client.instances.action(made.id, Actions.DELETE)
    status("discontinued")
    client.instances.action(made.id, Actions.DELETE, delete_permanently=True)
    assert client.instances.get() == []
    client.ssh_keys.delete_by_id(key.id)
    client.startup_scripts.delete_by_id(script.id)


def test_volumes_are_attached_grown_and_thrown_away(client: Any, login_key: asyncssh.SSHKey) -> None:
    volume = client.volumes.create(type="NVMe", name="data", size=50, location=Locations.FIN_03)
    client.volumes.delete_by_id(volume.id)
    assert volume.id in {each.id for each in client.volumes.get_in_trash()}
    client.volumes.delete_by_id(volume.id, is_permanent=True)
    assert client.volumes.get_by_id(volume.id).status == VolumeStatus.DELETED
    assert volume.id not in {each.id for each in client.volumes.get_in_trash()}

    volume = client.volumes.create(type="NVMe", name="data", size=50, location=Locations.FIN_03)

    def status(wanted: str) -> Any:
        return until(lambda: client.volumes.get_by_id(volume.id), lambda seen: seen.status == wanted)

    status(VolumeStatus.DETACHED)
    client.volumes.rename(volume.id, "renamed")
    client.volumes.increase_size([volume.id], 60)
    until(lambda: client.volumes.get_by_id(volume.id), lambda seen: (seen.name, seen.size) == ("renamed", 60))
    key = client.ssh_keys.create("laptop", login_key.export_public_key().decode())
    made = client.instances.create(TYPE, IMAGE, "host", "", [key.id], Locations.FIN_03)
    seen = until(lambda: client.instances.get_by_id(made.id), lambda seen: seen.status == "running")
    assert refused(lambda: client.volumes.attach(volume.id, made.id))[0] == ErrorCodes.FORBIDDEN_ACTION
    client.instances.action(made.id, Actions.SHUTDOWN)
    until(lambda: client.instances.get_by_id(made.id), lambda seen: seen.status == "offline")
    client.volumes.attach(volume.id, made.id)
    attached = status(VolumeStatus.ATTACHED)
    assert (attached.instance_id, attached.target) == (made.id, "vdb")
    disk = client.volumes.get_by_id(seen.os_volume_id)
    assert (disk.is_os_volume, disk.target) == (True, "vda")
    client.volumes.detach(volume.id)
    status(VolumeStatus.DETACHED)
    client.instances.action(made.id, Actions.DELETE)
    client.volumes.delete([volume.id], is_permanent=True)


def test_a_cluster_is_walked_from_its_order_to_its_end(client: Any, login_key: asyncssh.SSHKey) -> None:
    (kind,) = [each for each in client.cluster_types.get() if each.cluster_type == CLUSTER_TYPE]
    assert kind.price_per_hour > 0
    assert CLUSTER_IMAGE in client.clusters.get_cluster_images(CLUSTER_TYPE)
    assert client.clusters.is_available(CLUSTER_TYPE, Locations.FIN_03) is True
    assert CLUSTER_TYPE in client.clusters.get_availabilities(location_code=Locations.FIN_03)
    key = client.ssh_keys.create("laptop", login_key.export_public_key().decode())
    made = client.clusters.create(
        cluster_type=CLUSTER_TYPE,
        image=CLUSTER_IMAGE,
        hostname="test-cluster",
        description="test cluster",
        ssh_key_ids=[key.id],
        location=Locations.FIN_03,
        shared_volume_size=50,
    )
    assert made.status == "provisioning"

    def status(wanted: str) -> Any:
        return until(lambda: client.clusters.get_by_id(made.id), lambda seen: seen.status == wanted)

    running = status("running")
    assert running.ip
    assert [worker.status for worker in running.worker_nodes] == ["running", "running"]
    (volume,) = running.shared_volumes
    assert (volume.mount_point, volume.size_in_gigabytes) == ("/home", 50)
    assert [each.id for each in client.clusters.get()] == [made.id]
    assert client.instances.get() == []
    client.clusters.delete(made.id)
    status("discontinued")
    assert client.clusters.get() == []


def test_refusals_reach_the_client_with_their_code_and_message(client: Any, server: Server) -> None:
    assert refused(lambda: client.instances.get_by_id("no-such-instance")) == (
        "not_found",
        "Invalid instance id",
    )
    assert refused(lambda: client.instances.action("no-such-instance", Actions.DELETE)) == (
        "not_found",
        "Invalid instance id",
    )
    code, message = refused(
        lambda: client.instances.create("8GB200.288V", "ubuntu-24.04", "host", "", ["x"], "FIN-03")
    )
    assert (code, message) == (ErrorCodes.INVALID_REQUEST, "ssh_key_ids: invalid id.")
    base_url = f"http://127.0.0.1:{server.port}/v1"
    assert refused(lambda: VerdaClient("nobody", "secret", base_url=base_url))[0] == (
        ErrorCodes.UNAUTHORIZED_REQUEST
    )


def test_an_expired_token_is_refreshed_and_a_dead_one_replaced(client: Any) -> None:
    tokens = client._http_client._auth_service
    first = tokens._access_token
    tokens._expires_at = 0
    client.balance.get()
    assert tokens._access_token
    assert tokens._expires_at > time.monotonic()
    tokens._refresh_token = "dead"
    tokens._expires_at = 0
    client.balance.get()
    assert first
