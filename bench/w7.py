"""W7, the web floor: an authenticated request that does nothing, beside a bare ASGI application on the same server.

Ours is the request edge of every face with one route that does nothing: it finds the route, the key, the scope and
opens a read transaction. What counts is the server's CPU for each request.
"""

import dataclasses

from bench import client, machine, server
from bench.databases import Databases, opened
from bench.measure import Result, Sample, Step, interleave
from bench.options import Options
from tests import make

CLIENTS = 32
_LIMIT = "raw ASGI"
_ROUTES = {"raw": "/noop", "noop": "/noop", "berth": "/api/v1/billing/balance"}


def run(databases: Databases, options: Options) -> list[Result]:
    machine.pin(machine.SERVER_CORE if options.pinned else None)
    url = databases.migrated("sqlite")
    with opened(url) as db:
        api_key = make.project(db).api_key

    def step(kind: str) -> Sample:
        requests = [client.request("GET", _ROUTES[kind], api_key=api_key)]
        with server.running(kind, url, databases.data_directory(url), pinned=options.pinned) as served:
            sample = client.run(
                served.pid,
                served.port,
                requests,
                clients=CLIENTS,
                seconds=options.seconds,
                pinned=options.pinned,
            )
        assert sample.cpu_us is not None
        return dataclasses.replace(sample, value=sample.cpu_us, rate=sample.value)

    steps = [
        Step(_LIMIT, "µs CPU", lambda: step("raw")),
        Step("authenticated no-op", "µs CPU", lambda: step("noop"), _LIMIT, "≤ 1.4×"),
        Step("GET /billing/balance", "µs CPU", lambda: step("berth"), _LIMIT),
    ]
    result = interleave("W7 web floor, sqlite", steps, rounds=options.rounds)
    databases.drop(url)
    return [result]
