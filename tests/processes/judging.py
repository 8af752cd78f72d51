"""What came of chaos: clients, the provider, the leases and the books must tell one story."""

import json
import statistics
import urllib.request
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.processes.customers import Customers
from tests.processes.replica import Cluster

REPEATED = 60
"""How many answered requests are sent once more at the end."""
CLOCK_S = 0.05
"""How far a lease's instant, noted in its transaction, and that of a call that came in may be from what they say."""
UNDER_WAY_S = 1.0
"""How long a call may be on its way to a provider on a busy machine."""
SHOWN_S = 30.0

_TRAIL = """
CREATE TABLE trail (seq BIGSERIAL PRIMARY KEY, id TEXT, token BIGINT, who TEXT, is_end BOOLEAN,
    at DOUBLE PRECISION DEFAULT extract(epoch FROM clock_timestamp()));
CREATE FUNCTION note_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail (id, token, who, is_end)
    VALUES (NEW.id, NEW.lease_token, current_setting('application_name'), NEW.lease_expires_at = 0);
    RETURN NULL;
END $$;
CREATE TRIGGER taken AFTER UPDATE ON instances FOR EACH ROW
    WHEN (NEW.lease_token > OLD.lease_token AND NEW.lease_expires_at > 0) EXECUTE FUNCTION note_lease();
CREATE TRIGGER ended AFTER UPDATE ON instances FOR EACH ROW
    WHEN (NEW.lease_expires_at = 0 AND OLD.lease_expires_at > 0) EXECUTE FUNCTION note_lease();
"""


@dataclass(frozen=True, slots=True)
class Note:
    """A lease on one instance that was taken, or ended by its holder."""

    at: float
    token: int
    who: str
    is_end: bool


@dataclass(slots=True)
class Trail:
    """Who had which instance when, kept by the database itself."""

    database_url: str

    def begin(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(_TRAIL.encode())

    def rows(self, statement: str) -> list[Any]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def unsettled(self) -> list[Any]:
        return self.rows(
            "SELECT id, status, wanted, handle, create_sent_at, attempt FROM instances WHERE status <> 'deleted'"
        )

    def is_settled(self) -> bool:
        return not self.unsettled()

    def notes(self) -> dict[str, list[Note]]:
        """By instance, oldest first."""
        found = defaultdict(list)
        for id_, at, token, who, is_end in self.rows(
            "SELECT id, at, token, who, is_end FROM trail ORDER BY seq"
        ):
            found[id_].append(Note(at, token, who, is_end))
        return dict(found)

    def held_by(self, who: str) -> set[str]:
        """What it has taken and not ended."""
        rows = self.rows("SELECT DISTINCT ON (id) id, who, is_end FROM trail ORDER BY id, seq DESC")
        return {id_ for id_, holder, is_end in rows if holder == who and not is_end}


def truth(provider_url: str) -> dict[str, Any]:
    with urllib.request.urlopen(provider_url.removesuffix("/v1") + "/truth", timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def problems(cluster: Cluster, customers: Customers, trail: Trail, provider_url: str) -> list[str]:
    seen = truth(provider_url)
    found = [
        *_requests(customers),
        *_orders(customers, trail),
        *_machines(trail, seen),
        *_leases(trail, seen),
    ]
    books = cluster.replicas[0].server.berth("report", "books")
    if books.returncode != 0:
        found.append(f"the books disagree: {books.stdout}")
    return found


def _requests(customers: Customers) -> list[str]:
    """Everything was answered, and is answered the same when it is sent again."""
    found = []
    for customer in customers.each:
        for told in customer.told[-REPEATED // len(customers.each) :]:
            customer.repeat(told)
        found += [f"never answered: {each}" for each in customer.unanswered]
        found += [f"answered differently: {each}" for each in customer.unlike]
        found += [f"refused: {each}" for each in customer.told if each.status != 200]
    return found


def _orders(customers: Customers, trail: Trail) -> list[str]:
    """What was accepted is there once, and nothing else is; all of it has ended as its owner wished."""
    ordered = customers.ordered()
    rows = trail.rows("SELECT id, hostname, status, status_reason FROM instances")
    hostnames = Counter(hostname for _, hostname, _, _ in rows)
    found = [f"{count} instances are called {name}" for name, count in hostnames.items() if count != 1]
    accepted = set(ordered.values())
    found += [f"lost: {name}" for name in accepted - set(hostnames)]
    found += [f"nobody was told of {name}" for name in set(hostnames) - accepted]
    found += [f"{id_} ended as {status}: {reason}" for id_, _, status, reason in rows if status != "deleted"]
    return found


def _machines(trail: Trail, seen: dict[str, Any]) -> list[str]:
    """No order ever had two machines, one that ran had one, and none is left."""
    made = Counter(each["label"].rsplit("-", 1)[-1] for each in seen["made"])
    ran = {row[0] for row in trail.rows("SELECT id FROM instances WHERE first_running_at IS NOT NULL")}
    found = [f"{count} machines were made for {id_}" for id_, count in made.items() if count > 1]
    found += [f"{id_} ran without a machine" for id_ in ran if made[id_] != 1]
    return found + [f"left at the provider: {each['description']}" for each in seen["alive"]]


def _leases(trail: Trail, seen: dict[str, Any]) -> list[str]:
    """Nobody makes or changes an instance at the provider but who has the lease on it in that moment.

    What was sent under a lease that its holder then ended itself, having waited long enough, may be noted a little
    later. What was sent under one that had run out may not.
    """
    everything = trail.notes()
    found = []
    for act in seen["acts"]:
        id_ = act["label"].rsplit("-", 1)[-1]
        notes = [note for note in everything.get(id_, ()) if note.at <= act["at"] + CLOCK_S]
        own = [note for note in notes if note.who == act["by"]]
        taken = [note for note in notes if not note.is_end]
        is_holder = bool(taken) and taken[-1].who == act["by"]
        if not is_holder and not _has_just_ended(own, act["at"]):
            near = [
                f"{note.at - act['at']:+.2f} s {note.who} {'ended' if note.is_end else 'took'} {note.token}"
                for note in everything.get(id_, ())
                if abs(note.at - act["at"]) < SHOWN_S
            ]
            found.append(f"{act['by']} did {act['action']} to {id_} without its lease: {', '.join(near)}")
    return found


def _has_just_ended(own: Sequence[Note], at: float) -> bool:
    return bool(own) and own[-1].is_end and at - own[-1].at <= UNDER_WAY_S


def figures(trail: Trail, kills: Sequence[tuple[str, float]], provider_url: str) -> dict[str, object]:
    seen = truth(provider_url)
    delays = taken_over(trail, kills)
    ran = trail.rows("SELECT COUNT(*) FROM instances WHERE first_running_at IS NOT NULL")[0][0]
    return {
        "instances_that_ran": ran,
        "machines_made": len(seen["made"]),
        "calls_that_change_something": len(seen["acts"]),
        "leases_taken": sum(not note.is_end for notes in trail.notes().values() for note in notes),
        "rows_taken_over_from_the_killed": len(delays),
        "until_taken_over_s": (
            f"median {statistics.median(delays):.1f}, longest {max(delays):.1f}" if delays else "-"
        ),
    }


def taken_over(trail: Trail, kills: Sequence[tuple[str, float]]) -> list[float]:
    """Seconds from each death to the next lease of each row that the dead had."""
    found = []
    everything = trail.notes()
    for who, at in kills:
        for notes in everything.values():
            place = bisect_right([note.at for note in notes], at)
            if place == 0 or place == len(notes):
                continue
            last, following = notes[place - 1], notes[place]
            if last.who == who and not last.is_end and not following.is_end:
                found.append(following.at - at)
    return found
