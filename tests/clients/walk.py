"""gpuhunt, dstack and SkyPilot, unchanged, do to a server what they do to Verda, and say what came of it.

Runs in a Python that has them, beside no code of ours: see `__main__.py`, which sets the environment it reads.
"""

import csv
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from verda import VerdaClient

BASE_URL = os.environ["VERDA_BASE_URL"]
CLIENT_ID = os.environ["VERDA_CLIENT_ID"]
CLIENT_SECRET = os.environ["VERDA_CLIENT_SECRET"]

# dstack and gpuhunt have no setting for the address: this is the line that their users add.
VerdaClient.__init__.__defaults__ = (BASE_URL, *VerdaClient.__init__.__defaults__[1:])

import gpuhunt  # noqa: E402 - what follows makes clients, so the address comes first
from dstack._internal.core.backends.verda.compute import VerdaCompute  # noqa: E402
from dstack._internal.core.backends.verda.configurator import VerdaConfigurator  # noqa: E402
from dstack._internal.core.backends.verda.models import (  # noqa: E402
    VerdaBackendConfigWithCreds,
    VerdaConfig,
    VerdaCreds,
)
from dstack._internal.core.errors import (  # noqa: E402
    BackendInvalidCredentialsError,
    NoCapacityError,
    NotYetTerminated,
)
from dstack._internal.core.models.backends.base import BackendType  # noqa: E402
from dstack._internal.core.models.instances import InstanceConfiguration, SSHKey  # noqa: E402
from dstack._internal.core.models.resources import ResourcesSpec  # noqa: E402
from dstack._internal.core.models.runs import Requirements  # noqa: E402
from gpuhunt._internal import storage  # noqa: E402
from gpuhunt.providers.verda import VerdaProvider  # noqa: E402
from sky.catalog.data_fetchers import fetch_verda  # noqa: E402
from sky.provision import common  # noqa: E402
from sky.provision.verda import instance as sky_verda  # noqa: E402

NOT_OF_GPUHUNT = {"8GB200.288V"}
"""It knows no GB200, wherever one is sold."""
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2p0dW3bq0c4b7s2lqv1pYp0h0mB0c3kq7gG0b9h0aZ walk@example.com"
)
_WAIT_S = 120.0
_POLL_S = 0.5


def main() -> None:
    logging.disable(logging.WARNING)
    client = VerdaClient(CLIENT_ID, CLIENT_SECRET)
    walk_gpuhunt(client)
    walk_dstack(client)
    walk_skypilot(client)
    say("All of it worked.")


def walk_gpuhunt(client: Any) -> None:
    say("gpuhunt")
    items = VerdaProvider(CLIENT_ID, CLIENT_SECRET).get()
    sold = {each.instance_type for each in client.instance_types.get()}
    parsed = {item.instance_name for item in items}
    check(f"{len(parsed)} of {len(sold)} types are parsed, into {len(items)} offers", bool(parsed))
    check(f"left out: {', '.join(sorted(sold - parsed))}", sold - parsed == NOT_OF_GPUHUNT)
    check("every price is more than nothing", all(item.price > 0 for item in items))
    storage.dump(VerdaProvider.filter(items), str(Path(os.environ["GPUHUNT_CATALOG_DIR"]) / "verda.csv"))


def walk_dstack(client: Any) -> None:
    say("dstack")
    with refused(BackendInvalidCredentialsError, "a wrong secret"):
        VerdaConfigurator().validate_config(credentials("wrong"), default_creds_enabled=False)
    VerdaConfigurator().validate_config(credentials(CLIENT_SECRET), default_creds_enabled=False)
    check("the right secret is taken", is_so=True)

    catalog = gpuhunt.Catalog(auto_reload=False)  # what gpuhunt has just written
    gpuhunt.default_catalog = lambda: catalog
    compute = VerdaCompute(VerdaConfig(type="verda", creds=creds(CLIENT_SECRET)), BackendType.VERDA)
    for wanted in ({"cpu": "2..", "gpu": "0"}, {"gpu": "V100:1"}, {"gpu": "A6000:1"}, {"gpu": "H100:1"}):
        walk_dstack_instance(client, compute, wanted)
    sold_out = offers_for(compute, {"gpu": "H100:8"})[0]
    sold_out.instance.name = "8GB200.288V"
    with refused(NoCapacityError, "what is sold out"):
        compute.create_instance(sold_out, configuration(), None)
    check("nothing is left behind", leftovers(client) == ([], [], []))


def walk_dstack_instance(client: Any, compute: Any, wanted: dict[str, str]) -> None:
    offers = offers_for(compute, wanted)
    offer = offers[0]
    told = (
        f"{offer.instance.name} in {offer.region} at ${offer.price}/h, spot {offer.instance.resources.spot}"
    )
    check(f"{len(offers)} offers for {wanted}; the first: {told}", bool(offers))
    made = compute.create_instance(offer, configuration(), None)
    check(f"created {made.instance_id}", bool(made.instance_id) and made.region == offer.region)
    with refused(NotYetTerminated, "an end while it is being made"):
        compute.terminate_instance(made.instance_id, made.region, made.backend_data)
    until_running(compute, made)
    check(f"it runs at {made.hostname}", bool(made.hostname))
    compute.terminate_instance(made.instance_id, made.region, made.backend_data)
    compute.terminate_instance(made.instance_id, made.region, made.backend_data)
    check("terminated, and once more, which changes nothing", is_so=True)
    ended = until(
        lambda: client.instances.get_by_id(made.instance_id), lambda seen: seen.status == "discontinued"
    )
    check(f"it is {ended.status}", is_so=True)


def walk_skypilot(client: Any) -> None:
    say("SkyPilot")
    table = Path.home() / "catalog" / "vms.csv"
    with redirect_stdout(io.StringIO()):
        fetch_verda.create_catalog(str(table))
    with table.open(encoding="utf-8") as rows:
        fetched = list(csv.DictReader(rows))
    check(f"its catalogue has {len(fetched)} rows", len({row["InstanceType"] for row in fetched}) > 1)
    check("every row has a price", all(row["Price"] or row["SpotPrice"] for row in fetched))

    sky_verda.POLL_INTERVAL = _POLL_S
    sky_verda.verda.ssh_keys_create("sky-key", PUBLIC_KEY)
    made = sky_verda.run_instances("FIN-03", "sky", "sky-walk", sky_config("CPU.4V.16G", count=2))
    check(f"launched two nodes, {' and '.join(made.created_instance_ids)}", bool(made.head_instance_id))
    states = sky_verda.query_instances("sky-walk", {})
    told = ", ".join(state.value for state, _ in states.values())
    check(f"listed by their host names: {told}", set(states) == set(made.created_instance_ids))
    head = sky_verda.get_cluster_info("FIN-03", "sky-walk").get_head_instance()
    check(f"the head is at {head.external_ip}", head.instance_id == made.head_instance_id)
    sky_verda.terminate_instances("sky-walk", {})
    check("terminated: none is listed", sky_verda.query_instances("sky-walk", {}) == {})
    sky_verda.terminate_instances("sky-walk", {})
    client.ssh_keys.delete([each.id for each in client.ssh_keys.get()])
    check("nothing is left behind", leftovers(client) == ([], [], []))


def creds(secret: str) -> Any:
    return VerdaCreds(type="api_key", client_id=CLIENT_ID, client_secret=secret)


def credentials(secret: str) -> Any:
    return VerdaBackendConfigWithCreds(type="verda", creds=creds(secret))


def configuration() -> Any:
    return InstanceConfiguration(
        project_name="main", instance_name="walk", user="walk", ssh_keys=[SSHKey(public=PUBLIC_KEY)]
    )


def offers_for(compute: Any, wanted: dict[str, str]) -> list[Any]:
    """Those that can be had, in dstack's order."""
    needs = Requirements(resources=ResourcesSpec.model_validate({**wanted, "disk": "60GB.."}))
    found = compute.get_offers(needs, full_offers=True, unallocated_resources=True)
    return [offer for offer in found if offer.availability.is_available()]


def until_running(compute: Any, made: Any) -> None:
    def look() -> Any:
        compute.update_provisioning_data(made, "", "")
        return made.hostname

    until(look, bool)


def sky_config(instance_type: str, count: int = 1) -> Any:
    node = {"InstanceType": instance_type, "DiskSize": 60, "Preemptible": False, "PublicKey": PUBLIC_KEY}
    return common.ProvisionConfig(
        {}, {}, {}, node, count, {}, resume_stopped_nodes=False, ports_to_open_on_launch=None
    )


def leftovers(client: Any) -> tuple[list[str], list[str], list[str]]:
    """Instances, startup scripts and SSH keys that are still there."""
    until(client.instances.get, lambda found: not found)
    return (
        [each.id for each in client.instances.get()],
        [each.id for each in client.startup_scripts.get()],
        [each.id for each in client.ssh_keys.get()],
    )


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    ends_at = time.monotonic() + _WAIT_S
    while not is_so(seen := look()):
        if time.monotonic() > ends_at:
            check(f"still so after {_WAIT_S:.0f} s: {seen}", is_so=False)
        signal.sigtimedwait([], _POLL_S)
    return seen


@contextmanager
def refused(kind: type[Exception], what: str) -> Iterator[None]:
    try:
        yield
    except kind as error:
        check(f"{what} is refused: {kind.__name__}: {' '.join(str(error).split())}", is_so=True)
    else:
        check(f"{what} was not refused", is_so=False)


def check(sentence: str, is_so: bool) -> None:
    say(f"  {'ok  ' if is_so else 'FAIL'} {sentence}")
    if not is_so:
        sys.exit(1)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
