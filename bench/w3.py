"""W3, list pages: fifty of one account's instances, from anywhere in its list, beside the raw keyset query.

The raw query is the very statement of the page, every row fetched and thrown away. The retail API reads versions:
what can change of a row, to be shown from what was shown before; other callers read whole rows.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any

from bench import client, generated, machine, raw, server
from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave, percentile
from bench.options import Options
from bench.recording import RecordingDatabase, Statement
from berth.base import paging
from berth.base.clock import SECOND
from berth.base.db import Tx
from berth.base.paging import After, Page
from berth.core import instances
from tests import make
from tests.make import Customer

PAGE = 50
CLIENTS = 8
_SEED = 20261122
_EVERYWHERE = 4000
_HOT = 64
_RAW_VERSIONS = "raw keyset query, versions"
_RAW_WHOLE = "raw keyset query, whole rows"
_VERSIONS = "storage, versions"
ListPages = Callable[..., Page[Any]]


@dataclass(frozen=True, slots=True)
class Rows:
    """A database in which one customer has `count` instances, and places in its list."""

    url: str
    owner: Customer
    count: int
    places: Sequence[After]


def run(databases: Databases, options: Options) -> list[Result]:
    results = [_run(databases, options, size) for size in options.sizes]
    if len(results) > 1:
        times = [result.line(_VERSIONS).median for result in results]
        results[-1].notes.append(
            f"{times[-1] / times[0]:.2f}× the time of a page at {options.sizes[0]:,}; target ≤ 1.2×."
        )
    return results


def _run(databases: Databases, options: Options, size: int) -> Result:
    machine.pin(machine.SERVER_CORE if options.pinned else None)
    rows = _rows(databases, size)
    whole = _statements(rows, instances.list_page)
    versions = _statements(rows, instances.list_versions)
    seconds = options.seconds
    steps = [
        Step(_RAW_VERSIONS, "ms", lambda: raw.sqlite_reads(rows.url, versions, seconds=seconds)),
        Step(_RAW_WHOLE, "ms", lambda: raw.sqlite_reads(rows.url, whole, seconds=seconds)),
        Step(
            _VERSIONS,
            "ms",
            lambda: _storage(rows, instances.list_versions, seconds),
            _RAW_VERSIONS,
            "≤ 1.5×",
        ),
        Step("storage, whole rows", "ms", lambda: _storage(rows, instances.list_page, seconds), _RAW_WHOLE),
        Step(
            "HTTP, pages from everywhere",
            "/s",
            lambda: _http(databases, rows, options, _EVERYWHERE),
        ),
        Step(
            f"HTTP, the same {_HOT} pages",
            "/s",
            lambda: _http(databases, rows, options, _HOT),
            None,
            "≥ 4000/s",
        ),
    ]
    result = interleave(
        f"W3 list pages of {PAGE} at {size:,} instances, sqlite", steps, rounds=options.rounds
    )
    result.notes.append(
        f"HTTP with {CLIENTS} clients; pages from everywhere are {_EVERYWHERE} places, each of whose rows is shown"
        " for the first time or was long ago."
    )
    databases.drop(rows.url)
    return result


def _rows(databases: Databases, size: int) -> Rows:
    url = databases.migrated("sqlite")
    with opened(url) as db:
        owner = make.project(db)
        generated.instances(db, owner, size)
        generated.analyze(db, ["instances"])
        newest = db.read_now(instances.list_page, owner.by, status=None, after=None, limit=2).rows[1]
    created_at = newest.created_at + SECOND
    pick = Random(_SEED)
    numbers = [pick.randrange(1, size - PAGE) for _ in range(_EVERYWHERE)]
    places = [After(created_at - number * SECOND, f"{number:026}") for number in numbers]
    with opened(url) as db:
        problems = db.read_now(_problems, owner, places[0], numbers[0])
        assert not problems, problems
    return Rows(url, owner, size, places)


def _problems(tx: Tx, owner: Customer, place: After, number: int) -> str:
    """Says what is wrong with the page behind row `number`: the next fifty rows belong on it, newest first."""
    page = instances.list_page(tx, owner.by, status=None, after=place, limit=PAGE)
    found = [each.id for each in page.rows]
    expected = [f"{following:026}" for following in range(number + 1, number + 1 + PAGE)]
    return "" if found == expected else f"the page holds {found[:3]}… and not {expected[:3]}…"


def _statements(rows: Rows, list_pages: ListPages) -> list[Statement]:
    """The statement that reads a page, for each place."""
    with opened(rows.url) as db:
        recorder = RecordingDatabase(db)
        # Taken down on the writing side, because a verb that only reads runs as well there.
        recorder.write_now(list_pages, rows.owner.by, status=None, after=rows.places[0], limit=PAGE)
    page = next(each for each in recorder.statements if "LIMIT" in each.text)
    names = [name for name, value in page.values.items() if value in {rows.places[0].time, rows.places[0].id}]
    return [
        Statement(page.how, page.text, page.values | dict(zip(names, (place.time, place.id), strict=True)))
        for place in rows.places
    ]


def _storage(rows: Rows, list_pages: ListPages, seconds: float) -> Sample:
    taken = []
    with opened(rows.url) as db:
        ends_at = time.perf_counter() + seconds
        for place in cycle(rows.places):
            started_at = time.perf_counter()
            db.read_now(list_pages, rows.owner.by, status=None, after=place, limit=PAGE)
            taken.append(time.perf_counter() - started_at)
            if started_at >= ends_at:
                break
    ordered = sorted(taken)
    middle = percentile(ordered, 50) * 1e3
    return Sample(middle, p50_ms=middle, p99_ms=percentile(ordered, 99) * 1e3)


def _http(databases: Databases, rows: Rows, options: Options, pages: int) -> Sample:
    cursors = [paging.encode(place, "deployments None") for place in rows.places[:pages]]
    requests = [
        client.request("GET", f"/api/v1/deployments?limit={PAGE}&cursor={cursor}", api_key=rows.owner.api_key)
        for cursor in cursors
    ]
    directory = databases.data_directory(rows.url)
    with server.running("berth", rows.url, directory, pinned=options.pinned) as served:
        return client.run(
            served.pid,
            served.port,
            requests,
            clients=CLIENTS,
            seconds=options.seconds,
            pinned=options.pinned,
        )
