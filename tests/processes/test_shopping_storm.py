"""Sessions at a marketplace that loses answers, lags and limits, bought by a server that is killed every few seconds.

Afterwards nothing runs unseen, no order was bought twice, and what was charged is what the marketplace's own meter says.
`--sessions 1000` buys more of them; the figures are printed.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from berth.core.driver import Label
from tests.processes.conftest import ended
from tests.processes.marketplace import Marketplace, Shoppers, alive_at_once
from tests.processes.running import Server, pause

FAULTS = {
    "lost_permille": 60,
    "refused_permille": 30,
    "limited_permille": 30,
    "broken_permille": 30,
    "lag_s": 1.5,
    "keeps_listing": 1,
    "boot_looks": 2,
}
LIVES_S = (3.0, 12.0)
"""How long the server lives before it is killed."""
SETTLES_S = 240.0
ENDED = ("stopped", "failed")
ALIVE = ("pending", "provisioning", "running", "stopping")
LISTED_MOST = 1000
SECOND_US = 1_000_000


@pytest.fixture
def market(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Marketplace]:
    market = Marketplace(
        tmp_path, offers=3 * int(request.config.getoption("--sessions")) + 200, faults=FAULTS
    )
    market.start()
    yield market
    market.stop()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_session_is_doubled_lost_or_left_running_however_often_the_server_is_killed(
    market: Marketplace, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = int(request.config.getoption("--sessions"))
    (tmp_path / "berth").mkdir()
    with ended(
        Server(tmp_path / "berth", first_ssh_port=29000, simulate=False, settings=market.settings())
    ) as server:
        server.start()
        _wait_for_offers(server)
        market.misbehave()
        shoppers = Shoppers(server, wanted, seed=7)
        shoppers.start()
        kills = _kill_again_and_again(server, shoppers)
        market.behave()
        left = _settled(server, market)
        # A list holds a thousand at most.
        listed = [server.call("GET", f"/sessions?status={each}").body["sessions"] for each in ENDED]
        sessions = {each["id"]: each for page in listed for each in page}
        costs = {
            session_id: server.call("GET", f"/costs?session_id={session_id}").body["total_cost"]
            for session_id in sessions
        }
        whole = server.call("GET", "/costs").body["total_cost"]
        alive = [each for each in ALIVE if server.call("GET", f"/sessions?status={each}").body["count"]]
        assert server.stop() == 0
        assert server.berth("report", "books").returncode == 0
    bills = market.bills()

    assert not shoppers.crashes, shoppers.crashes[:5]
    assert not left, f"{len(left)} still exist: {left[:3]}"
    assert all(len(page) < LISTED_MOST for page in listed)
    assert not alive
    assert {each.id for each in shoppers.taken} <= sessions.keys()
    assert not alive_at_once(bills)
    owners = {_session_of(bill["label"]) for bill in bills}
    assert owners <= sessions.keys()

    assert whole == pytest.approx(sum(costs.values()), abs=1e-6)
    report = _compare(bills, sessions, costs)
    with capsys.disabled():
        print(f"\n{len(sessions)} sessions, {len(bills)} instances, {kills} kills; {report}")  # noqa: T201
    assert sum(each.has_run for each in shoppers.taken) >= wanted // 2, shoppers.refused
    assert abs(report.missing_s) <= len(sessions)


def _wait_for_offers(server: Server) -> None:
    ends_at = time.monotonic() + 60
    while not server.call("GET", "/inventory?provider=vastai").body["offers"]:
        assert time.monotonic() < ends_at, server.log()
        pause()


def _kill_again_and_again(server: Server, shoppers: Shoppers) -> int:
    chance, kills = random.Random(7), 0
    while not shoppers.is_over:
        until = time.monotonic() + chance.uniform(*LIVES_S)
        while time.monotonic() < until and not shoppers.is_over:
            pause()
        if not shoppers.is_over:
            server.kill()
            server.start()
            kills += 1
    return kills


def _settled(server: Server, market: Marketplace) -> list[Any]:
    """What exists once everything has had its time."""
    ends_at = time.monotonic() + SETTLES_S
    while True:
        left = [bill for bill in market.bills() if bill["destroyed_at"] is None]
        if not left or time.monotonic() > ends_at:
            return left
        assert server.process is not None
        assert server.process.poll() is None, server.log()
        for _ in range(10):
            pause()


@dataclass(frozen=True, slots=True)
class Report:
    """What was charged beside the marketplace's meter, in seconds of each session's own price."""

    missing_s: float
    """In all: what the meter has and was not charged."""
    worst_s: float
    mean_s: float
    charged: float
    metered: float

    def __str__(self) -> str:
        return (
            f"charged ${self.charged:.6f}, metered ${self.metered:.6f}; a session differs by {self.mean_s:.3f} s"
            f" on average, {self.worst_s:.1f} s at most, all of them by {self.missing_s:.1f} s"
        )


def _compare(bills: list[Any], sessions: dict[str, Any], costs: dict[str, float]) -> Report:
    metered: dict[str, int] = dict.fromkeys(sessions, 0)
    for bill in bills:
        metered[_session_of(bill["label"])] += bill["ran_us"]
    differ = []
    for session_id, session in sessions.items():
        charged_s = costs[session_id] * 3600 / session["price_per_hour"]
        differ.append(metered[session_id] / SECOND_US - charged_s)
    return Report(
        sum(differ),
        max(map(abs, differ)),
        sum(map(abs, differ)) / len(differ),
        sum(costs.values()),
        sum(bill["ran_micros"] for bill in bills) / 1_000_000,
    )


def _session_of(label: str) -> str:
    found = Label.parse(label)
    assert found is not None, label
    return f"sess-{found.instance_id.lower()}"
