"""X5, take-over: from a replica's death to another's lease on each instance that it had in hand.

Two `berth serve` on one PostgreSQL and a provider in a process of its own, which takes up to a second for a machine.
One replica is killed with SIGKILL while it works. The database itself keeps who had which row when.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from bench.databases import Databases
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from tests import make
from tests.processes import chaos, judging
from tests.processes.customers import send
from tests.processes.judging import Trail
from tests.processes.replica import Cluster

LEASES_S = (30, 10)
"""As it is unless an operator says otherwise, and as short as suits a quick network."""
ORDERS = 8
_WITHIN_S = 60.0
_LOOK_S = 0.01
Found = TypeVar("Found")


def run(databases: Databases, options: Options) -> list[Result]:
    if databases.server is None:
        sys.stderr.write("X5 is left out: replicas need PostgreSQL\n")
        return []
    with chaos.upstream() as provider, TemporaryDirectory(prefix="berth-x5-") as directory:
        steps = [
            Step(
                f"leases of {lease_s} s",
                "s",
                lambda lease_s=lease_s: _measure(databases, Path(directory), provider, lease_s),  # type: ignore[misc]
                target=f"≤ {lease_s} s",
            )
            for lease_s in LEASES_S
        ]
        result = interleave("X5 take-over from a killed replica, postgresql", steps, rounds=options.rounds)
    result.notes.append("The longest of the rows that it had in hand; p50 over all of them, in milliseconds.")
    return [result]


def _measure(databases: Databases, directory: Path, provider: str, lease_s: int) -> Sample:
    assert databases.server is not None
    with (
        TemporaryDirectory(dir=directory) as place,
        Cluster.opened(Path(place), databases.server, provider, lease_s=lease_s, count=2) as cluster,
    ):
        trail = Trail(cluster.database_url)
        trail.begin()
        victim = cluster.replicas[0]
        with _ordering(cluster):
            held = _wait(lambda: trail.held_by(victim.name))
            victim.kill()
            killed_at = time.time()
        held = trail.held_by(victim.name) or held
        _wait(lambda: not trail.held_by(victim.name))
        delays = sorted(judging.taken_over(trail, [(victim.name, killed_at)]))
        assert delays, f"nothing was taken over of {held}"
    return Sample(delays[-1], p50_ms=percentile(delays, 50) * 1e3, p99_ms=delays[-1] * 1e3)


@contextmanager
def _ordering(cluster: Cluster) -> Iterator[None]:
    """Orders come in at the one that is to die, as long as it lives: it is the first to hear of them."""
    port = cluster.replicas[0].port
    key = {"name": "bench", "public_key": make.public_key("bench")}
    _, answer = send(port, cluster.api_key, "POST", "/ssh-keys", key, "key")
    key_id = json.loads(answer)["data"]["id"]

    def order() -> None:
        for number in range(ORDERS):
            body = {
                "cluster_type": "CPU.4V.16G",
                "image": "ubuntu-24.04",
                "hostname": f"bench-{number}",
                "ssh_key_ids": [key_id],
                "location": "FIN-01",
            }
            try:
                send(port, cluster.api_key, "POST", "/deployments/clusters", body, f"order-{number}")
            except (OSError, http.client.HTTPException):
                return

    orders = threading.Thread(target=order)
    orders.start()
    try:
        yield
    finally:
        orders.join()


def _wait(look: Callable[[], Found]) -> Found:
    """The first answer that is not empty or False."""
    ends_at = time.monotonic() + _WITHIN_S
    while not (found := look()):
        assert time.monotonic() < ends_at, "it never came to be"
        chaos.pause(_LOOK_S)
    return found
