"""Replicas on one PostgreSQL that are killed and frozen, one every few seconds, under clients who deploy and delete.

`python -m tests.processes.chaos --seconds 300` does so for long and prints the figures; the test does so for a while.
PostgreSQL is restarted in the middle. What came of it is judged by what clients were told, what the provider made
and was asked, whose lease that was under, and the books.
"""

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests import postgres
from tests.processes import judging
from tests.processes.customers import Customer, Customers
from tests.processes.judging import Trail
from tests.processes.replica import Cluster, Replica

DURABLE = {**postgres.SETTINGS, "fsync": "off", "synchronous_commit": "on"}
"""What was committed survives a server that crashes; only of the machine's own crash nothing is asked."""
LEASE_S = 5
FREEZES_S = 8.0
EVERY_S = (0.5, 3.0)
CAUGHT_WITHIN_S = 3.0
SETTLES_WITHIN_S = 240.0


@dataclass(slots=True)
class Story:
    """What was done to whom, for people to read."""

    began_at: float = field(default_factory=time.time)
    kills: list[tuple[str, float]] = field(default_factory=list)
    freezes: list[tuple[str, float, float]] = field(default_factory=list)
    restarts: int = 0

    def says(self) -> str:
        return f"{len(self.kills)} kills, {len(self.freezes)} freezes, {self.restarts} restarts of PostgreSQL"


class Chaos:
    def __init__(self, cluster: Cluster, server: postgres.Server, trail: Trail, seed: int) -> None:
        self.cluster = cluster
        self._trail = trail
        self.story = Story()
        self._server = server
        self._random = random.Random(seed)

    def live(self, seconds: float, *, restarts: int) -> None:
        """One at a time is killed or frozen; the others go on."""
        ends_at = time.monotonic() + seconds
        restart_at = [time.monotonic() + seconds * (n + 1) / (restarts + 1) for n in range(restarts)]
        turn = 0
        while time.monotonic() < ends_at:
            victim = self.cluster.replicas[turn % len(self.cluster.replicas)]
            (self._kill if turn % 2 else self._freeze)(victim)
            turn += 1
            if restart_at and time.monotonic() >= restart_at[0]:
                restart_at.pop(0)
                self._server.restart(gently=self.story.restarts % 2 == 0)
                self.story.restarts += 1
            pause(self._random.uniform(*EVERY_S))

    def _catch(self, victim: Replica) -> None:
        """Waits, a little, until it is in the middle of something."""
        ends_at = time.monotonic() + CAUGHT_WITHIN_S
        while time.monotonic() < ends_at:
            with contextlib.suppress(psycopg.OperationalError):  # it is being restarted
                if self._trail.held_by(victim.name):
                    break
            pause(0.02)

    def _kill(self, victim: Replica) -> None:
        self._catch(victim)
        self.story.kills.append((victim.name, time.time()))
        victim.kill()
        pause(self._random.uniform(0, LEASE_S))
        victim.start()

    def _freeze(self, victim: Replica) -> None:
        self._catch(victim)
        frozen_at = time.time()
        victim.freeze()
        pause(FREEZES_S)
        victim.thaw()
        self.story.freezes.append((victim.name, frozen_at, time.time()))


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@dataclass(slots=True)
class Outcome:
    problems: list[str]
    figures: dict[str, object]


def run(directory: Path, *, seconds: float, restarts: int = 1, clients: int = 4, seed: int = 1) -> Outcome:
    with (
        postgres.running(directory, DURABLE) as server,
        upstream() as provider_url,
        Cluster.opened(directory, server.url, provider_url, lease_s=LEASE_S) as cluster,
    ):
        trail = Trail(cluster.database_url)
        trail.begin()
        customers = Customers([Customer(number, cluster, seed) for number in range(clients)])
        chaos = Chaos(cluster, server, trail, seed)
        with customers.busy():
            chaos.live(seconds, restarts=restarts)
        for replica in cluster.replicas:
            assert replica.is_up(), replica.log()[-4000:]
        customers.leave(SETTLES_WITHIN_S)
        until(SETTLES_WITHIN_S, trail.is_settled)
        problems = judging.problems(cluster, customers, trail, provider_url)
        figures = {
            "story": chaos.story.says(),
            **customers.figures(),
            **judging.figures(trail, chaos.story.kills, provider_url),
            "lease_lost": sum(replica.log().count("lease_lost") for replica in cluster.replicas),
        }
        return Outcome(problems, figures)


def until(seconds: float, is_so: Callable[[], bool]) -> bool:
    """Whether it came to be in time."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() >= ends_at:
            return False
        pause(0.1)
    return True


@contextmanager
def upstream() -> Iterator[str]:
    """The address of a provider's API, without `/v1` taken off."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.processes.upstream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip().strip('"')
    finally:
        child.stdin.close()
        child.wait(30)
        child.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--restarts", type=int, default=1, help="of PostgreSQL")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="berth-chaos-") as directory:
        outcome = run(
            Path(directory),
            seconds=asked.seconds,
            restarts=asked.restarts,
            clients=asked.clients,
            seed=asked.seed,
        )
    for name, value in outcome.figures.items():
        sys.stdout.write(f"{name}: {value}\n")
    for problem in outcome.problems:
        sys.stdout.write(f"PROBLEM {problem}\n")
    sys.exit(bool(outcome.problems))


if __name__ == "__main__":
    main()
