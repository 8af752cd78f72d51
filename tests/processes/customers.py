"""Clients who deploy and delete through whichever replica answers, and keep what they were told.

Each request has an Idempotency-Key and is sent again, here or there, until it is answered; now and then one that was
answered is sent once more, and must be answered the same.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.processes.replica import Cluster

PATIENCE_S = 150.0
"""How long a request is sent again before the client gives up: far beyond anything that was done to the replicas."""
ONE_TRY_S = 4.0
STANDING = 12
"""How many deployments one client keeps at most."""
_SERVER_ERROR = 500


class Unanswered(Exception):
    """Nobody answered for so long that the client gave up."""


@dataclass(frozen=True, slots=True)
class Told:
    """A request that was answered."""

    method: str
    path: str
    body: object
    key: str
    status: int
    answer: str
    tries: int
    seconds: float


@dataclass
class Customer:
    """One client. `told` is every answer that it got to a request that changes something."""

    number: int
    cluster: Cluster
    seed: int
    told: list[Told] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)
    """Ids of deployments that it has not deleted."""
    ordered: dict[str, str] = field(default_factory=dict)
    """The hostname of each deployment, by its id."""
    unlike: list[str] = field(default_factory=list)
    """Requests that were answered differently when they were sent again."""
    unanswered: list[str] = field(default_factory=list)
    tries: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(1000 * self.seed + self.number)
        self._key_id = ""

    def come(self) -> None:
        from tests import make

        body = {"name": f"client-{self.number}", "public_key": make.public_key(f"client-{self.number}")}
        self._key_id = json.loads(self._must("POST", "/ssh-keys", body).answer)["data"]["id"]

    def act(self) -> None:
        try:
            if self.standing and (len(self.standing) >= STANDING or self._random.random() < 0.45):
                self._delete(self.standing.pop(self._random.randrange(len(self.standing))))
            else:
                self.deploy()
            if self._random.random() < 0.2:
                self.repeat(self._random.choice(self.told))
        except Unanswered as error:
            self.unanswered.append(str(error))

    def leave(self) -> None:
        """Deletes what stands."""
        while self.standing:
            self._delete(self.standing.pop())

    def repeat(self, told: Told) -> None:
        """The same request with the same key: nothing happens, and the answer is the same."""
        again = self._must(told.method, told.path, told.body, key=told.key)
        if (again.status, again.answer) != (told.status, told.answer):
            self.unlike.append(f"{told.method} {told.path}: {told.answer} and then {again.answer}")

    def deploy(self) -> None:
        hostname = f"c{self.number}-{len(self.told)}-{self._random.getrandbits(40):x}"
        body = {
            "cluster_type": "CPU.4V.16G",
            "image": "ubuntu-24.04",
            "hostname": hostname,
            "ssh_key_ids": [self._key_id],
            "location": "FIN-01",
        }
        told = self._must("POST", "/deployments/clusters", body)
        self.told.append(told)
        if told.status == 200:
            deployment_id = str(json.loads(told.answer)["data"]["id"])
            self.ordered[deployment_id] = hostname
            self.standing.append(deployment_id)

    def _delete(self, deployment_id: str) -> None:
        self.told.append(self._must("DELETE", f"/deployments/{deployment_id}", None))

    def _must(self, method: str, path: str, body: object, *, key: str | None = None) -> Told:
        key = key or f"{self.number}-{self._random.getrandbits(64):x}"
        began_at = time.monotonic()
        tries = 0
        problem = "never sent"
        while time.monotonic() - began_at < PATIENCE_S:
            tries += 1
            self.tries += 1
            port = self._random.choice(self.cluster.replicas).port
            try:
                status, answer = send(port, self.cluster.api_key, method, path, body, key)
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            else:
                # One that is being answered elsewhere may say so; then the answer is asked for again.
                if status < _SERVER_ERROR and "idempotency_in_flight" not in answer:
                    return Told(method, path, body, key, status, answer, tries, time.monotonic() - began_at)
                problem = f"{status} {answer}"
            threading.Event().wait(0.1)
        raise Unanswered(f"{method} {path} {key}: {problem}")


def send(port: int, api_key: str, method: str, path: str, body: object, key: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ONE_TRY_S)
    try:
        headers: dict[str, Any] = {
            "X-API-Key": api_key,
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@dataclass(slots=True)
class Customers:
    each: Sequence[Customer]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """They act, each in a thread, until the end of the block; requests under way are seen through."""
        ends = threading.Event()

        def live(customer: Customer) -> None:
            customer.come()
            while not ends.is_set():
                customer.act()
                ends.wait(0.05)

        threads = [threading.Thread(target=live, args=(customer,), daemon=True) for customer in self.each]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ends.set()
            for thread in threads:
                thread.join(PATIENCE_S + 30)

    def leave(self, _seconds: float) -> None:
        for customer in self.each:
            customer.leave()

    def told(self) -> list[Told]:
        return [told for customer in self.each for told in customer.told]

    def ordered(self) -> dict[str, str]:
        return {key: value for customer in self.each for key, value in customer.ordered.items()}

    def figures(self) -> dict[str, object]:
        told = self.told()
        longest = max((each.seconds for each in told), default=0.0)
        return {
            "requests_answered": len(told),
            "orders_accepted": len(self.ordered()),
            "tries": sum(customer.tries for customer in self.each),
            "answered_after_more_than_one_try": sum(each.tries > 1 for each in told),
            "longest_until_answered_s": round(longest, 1),
            "unanswered": sum(len(customer.unanswered) for customer in self.each),
        }
