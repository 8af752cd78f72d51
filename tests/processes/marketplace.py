"""A stand-in of a marketplace as a process that outlives whoever buys from it, and the shoppers who buy through Berth."""

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.drivers.vastai.account import API_KEY
from tests.processes.running import Server, pause

_ANSWER_S = 600.0
_ENDED = {"stopped", "failed"}


@dataclass(slots=True)
class Marketplace:
    """The service at a port of its own, with its meter."""

    directory: Path
    offers: int
    faults: Mapping[str, object]
    process: "subprocess.Popen[str] | None" = None
    url: str = ""

    def start(self) -> None:
        with (self.directory / "marketplace.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.drivers.vastai.service", "--ssh"),
                    *("--offers", str(self.offers)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def settings(self) -> dict[str, str]:
        """What a Berth is told to buy here, and nowhere else."""
        return {
            "BERTH_VASTAI_BASE_URL": self.url,
            "BERTH_VASTAI_API_KEY": API_KEY,
            "BERTH_VASTAI_PACE_PERMILLE": "0",
            "BERTH_VASTAI_SEARCH_PAGES": "10",
            "BERTH_SANDBOX_IS_ENABLED": "false",
            "BERTH_BILLING_DEFAULT_CREDIT_USD": "100000",
            "BERTH_LOOPS_ORPHAN_GRACE_S": "5",
            "BERTH_LOOPS_CALL_S": "10",
        }

    def bills(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._call("GET", "/_control/meter")["bills"]
        return found

    def misbehave(self) -> None:
        """From now on everything goes wrong at times."""
        self._call("PUT", "/_control/faults", self.faults)

    def behave(self) -> None:
        """From now on nothing goes wrong."""
        self._call("PUT", "/_control/faults", dict.fromkeys(self.faults, 0) | {"boot_looks": 1})

    def _call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read() or "null")
        finally:
            connection.close()


@dataclass(slots=True)
class Taken:
    """One session as its shopper saw it."""

    id: str
    price: float
    status: str
    has_run: bool


@dataclass(slots=True)
class Shoppers:
    """So many at once, each with one session after the other, whatever becomes of the server meanwhile."""

    server: Server
    wanted: int
    seed: int
    at_once: int = 24
    taken: list[Taken] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What was said where no session came of it."""
    crashes: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0

    def start(self) -> None:
        for number in range(self.at_once):
            thread = threading.Thread(target=self._shop, args=(random.Random(self.seed + number),))
            self._threads.append(thread)
            thread.start()

    @property
    def is_over(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)

    def _shop(self, chance: random.Random) -> None:
        while True:
            with self._lock:
                number, self._next = self._next, self._next + 1
            if number >= self.wanted:
                return
            try:
                self._visit(number, chance)
            except (AssertionError, KeyError, TypeError) as error:
                self.crashes.append(f"{number}: {error!r}")

    def _visit(self, number: int, chance: random.Random) -> None:
        offers = self._ask("GET", "/inventory?provider=vastai&limit=100")[1]["offers"]
        if not offers:
            self.refused.append("nothing was offered")
            pause()
            return
        body = {
            "consumer_id": f"shopper-{number}",
            "offer_id": chance.choice(offers)["id"],
            "workload_type": "batch",
            "reservation_hours": 1,
        }
        status, made = self._ask("POST", "/sessions", body, key=f"storm-{self.seed}-{number}")
        if status != 201:
            self.refused.append(f"{status} {made.get('error_type', made['error'])}")
            return
        session = self._until(made["session"]["id"], {"running"} | _ENDED)
        taken = Taken(session["id"], session["price_per_hour"], "", session["status"] == "running")
        self.taken.append(taken)
        for _ in range(chance.randrange(60)):
            pause()
        verb = chance.choice([("POST", f"/sessions/{taken.id}/done"), ("DELETE", f"/sessions/{taken.id}")])
        self._ask(*verb)
        taken.status = self._until(taken.id, _ENDED)["status"]

    def _until(self, session_id: str, statuses: set[str]) -> Any:
        ends_at = time.monotonic() + _ANSWER_S
        while True:
            session = self._ask("GET", f"/sessions/{session_id}")[1]
            if session["status"] in statuses:
                return session
            assert time.monotonic() < ends_at, session
            pause()
            pause()

    def _ask(self, method: str, path: str, body: object = None, *, key: str | None = None) -> tuple[int, Any]:
        """Until there is an answer: with one key, so that an answer that was lost is given again."""
        ends_at = time.monotonic() + _ANSWER_S
        while True:
            try:
                answer = self.server.call(
                    method, path, body, headers={} if key is None else {"Idempotency-Key": key}
                )
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                pass  # it was killed, or is just starting
            else:
                if answer.status != 409 or "being processed" not in answer.body["error"]:
                    return answer.status, answer.body
            assert time.monotonic() < ends_at, f"no answer to {method} {path}"
            pause()


def alive_at_once(bills: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels under which two instances existed at one time."""
    doubled = []
    by_label: dict[str, list[Mapping[str, Any]]] = {}
    for bill in bills:
        by_label.setdefault(bill["label"], []).append(bill)
    for label, found in by_label.items():
        found.sort(key=lambda bill: bill["created_at"])
        for before, after in pairwise(found):
            if before["destroyed_at"] is None or before["destroyed_at"] > after["created_at"]:
                doubled.append(label)
    return doubled
