"""Berth A buys from Berth B: two real processes, limits on at B, and machines that really run there.

What A tells its customer, what B has, and what both charge must be one story, also when B is killed in the middle.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import asyncssh
import pytest

from berth.base import ids
from tests.processes.chain import IMAGE, LOCATION, MARGIN_PERCENT, Chain, iaas, margins, rows, token, until
from tests.processes.conftest import ended
from tests.processes.running import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]
LEFTOVERS_S = 450
"""What a death leaves at the upstream is an orphan first, and has its grace."""
GPU = "8H100.80S.176V"
PRICE = 13_680_000
"""Of one hour of that at B, in micro-dollars."""
CLOCKS_S = 15
"""How far apart two looks at running clocks, and the two sides' own looks at an instance, may be on a busy machine."""
MINIMUM_S = 600


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, login_key: asyncssh.SSHKey) -> Iterator[Chain]:
    """A and B, running; A's project `default` has a key."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    upstream = Server(tmp_path_factory.mktemp("upstream"), first_ssh_port=27000 + 100 * worker)
    upstream.settings = {"BERTH_RATE_LIMITS": "on"}
    seller = Server(tmp_path_factory.mktemp("seller"), first_ssh_port=1024, simulate=False)
    with ended(upstream), ended(seller):
        upstream.start()
        made = upstream.berth("project", "create", "reseller", "--credit", "1000", "--json")
        client = json.loads(made.stdout)
        seller.settings = {
            "BERTH_SANDBOX_IS_ENABLED": "false",
            "BERTH_VERDA_BASE_URL": f"http://127.0.0.1:{upstream.port}/v1",
            "BERTH_VERDA_CLIENT_ID": client["client_id"],
            "BERTH_VERDA_CLIENT_SECRET": client["client_secret"],
            "BERTH_VERDA_MARGIN_PERCENT": str(MARGIN_PERCENT),
            "BERTH_BILLING_GRACE_S": "0",
        }
        seller.start()
        chain = Chain(seller, upstream, login_key)
        chain.key_id = seller.call("POST", "/ssh-keys", {"name": "laptop", "public_key": _line(chain)}).data[
            "id"
        ]
        # Ordered now because a young one that is missing proves nothing: it is taken away in the end.
        access = token(seller)
        chain.spot_id = str(iaas(seller, "POST", "/instances", _spot(chain, access), access).body)
        yield chain


def _spot(chain: Chain, access: str) -> dict[str, object]:
    key = {"name": "laptop", "key": _line(chain)}
    return {
        "instance_type": "CPU.4V.16G",
        "image": IMAGE,
        "hostname": "spot",
        "description": "",
        "location_code": LOCATION,
        "ssh_key_ids": [iaas(chain.seller, "POST", "/ssh-keys", key, access).body],
        "is_spot": True,
    }


def _line(chain: Chain) -> str:
    return chain.key.export_public_key().decode().strip()


def _core(shown_id: str) -> str:
    """The id of a row, out of the retail API's id for it."""
    return shown_id.rpartition("_")[2]


def test_a_deployment_is_walked_from_its_order_to_its_end_with_its_volumes(chain: Chain) -> None:
    volume = chain.seller.call(
        "POST", "/volumes", {"name": "data", "size": 10, "type": "NVMe", "location": LOCATION}
    ).data
    until(lambda: _volume(chain, volume["id"])["status"] == "detached")
    made = chain.order("walk", GPU, existing_volumes=[volume["id"]])
    running = chain.wait(made, "running")
    assert running["specs"]["price_per_hr"] == pytest.approx(PRICE * (100 + MARGIN_PERCENT) / 100 / 1e6)
    assert (
        chain.run(running, "echo kept > note && cd /mnt/berth-* && echo stored > file && hostname") == "walk"
    )

    chain.act(made, "stop")
    stopped = chain.wait(made, "offline")
    assert stopped["billing"]["charging"] is True
    assert stopped["billing"]["charging_reason"] == "hardware_reserved"
    [(machine, status, _)] = chain.machines(_core(made))
    assert status == "offline"
    path = f"/volumes/{volume['id']}/actions"
    chain.seller.call("POST", path, {"action": "detach", "deployment_id": made})
    until(lambda: _volume(chain, volume["id"])["status"] == "detached")
    chain.seller.call("POST", path, {"action": "resize", "size": 20})
    until(lambda: _volume(chain, volume["id"])["size"] == 20)
    chain.seller.call("POST", path, {"action": "attach", "deployment_id": made})
    until(lambda: _volume(chain, volume["id"])["status"] == "attached")
    assert rows(chain.upstream, "SELECT size_gb FROM volumes WHERE os_of IS NULL") == [(20,)]

    chain.act(made, "start")
    again = chain.wait(made, "running")
    assert chain.run(again, "cat note /mnt/berth-*/file").split() == ["kept", "stored"]
    chain.act(made, "restart")
    until(lambda: _deployment(chain, made)["pending_action"] is None)
    assert chain.run(chain.wait(made, "running"), "cat note") == "kept"

    ours, theirs = margins(chain.seller)[_core(made)], margins(chain.upstream)[machine]
    assert abs(ours["seconds"] - theirs["seconds"]) <= CLOCKS_S
    assert abs(ours["cost_micros"] * 3600 - PRICE * ours["seconds"]) <= 3600

    chain.seller.call("DELETE", f"/deployments/{made}")
    chain.wait(made, "deleted")
    ours, theirs = margins(chain.seller)[_core(made)], margins(chain.upstream)[machine]
    assert abs(ours["seconds"] - theirs["seconds"]) <= CLOCKS_S
    assert theirs["revenue_micros"] == _charged(PRICE, theirs["seconds"])
    assert ours["revenue_micros"] == _charged(PRICE * (100 + MARGIN_PERCENT) // 100, ours["seconds"])
    until(lambda: _volume(chain, volume["id"])["status"] == "detached")
    until(chain.accounts_agree)
    chain.seller.call("DELETE", f"/volumes/{volume['id']}", {"is_permanent": True})
    until(lambda: not rows(chain.upstream, "SELECT id FROM volumes WHERE os_of IS NULL AND gone_at IS NULL"))
    assert "RateLimited" not in chain.seller.log()


def test_a_suspended_account_gives_its_machine_back_and_returns_with_its_data(chain: Chain) -> None:
    made = chain.seller.berth("project", "create", "poor", "--credit", "50", "--json")
    headers = {"X-API-Key": json.loads(made.stdout)["api_key"]}

    def call(method: str, path: str, body: object = None) -> Any:
        return chain.seller.call(method, path, body, headers=headers).data

    def deployment() -> Any:
        return call("GET", f"/deployments/{made_id}")

    key = call("POST", "/ssh-keys", {"name": "laptop", "public_key": _line(chain)})
    body = {
        "cluster_type": "CPU.4V.16G",
        "image": IMAGE,
        "hostname": "poor",
        "ssh_key_ids": [key["id"]],
        "location": LOCATION,
    }
    made_id = str(call("POST", "/deployments/clusters", body)["id"])
    until(lambda: deployment()["status"] == "running")
    chain.run(deployment(), "echo kept > note; sync")
    row = call("GET", "/billing/transactions?type=topup")[0]
    assert chain.seller.berth("project", "reverse", "poor", row["id"]).returncode == 0
    until(lambda: deployment()["status"] == "offline")
    assert deployment()["billing"]["charging"] is False
    until(lambda: [status for _, status, _ in chain.machines(_core(made_id))] == ["deleted"])
    left = "SELECT status FROM volumes WHERE os_of IS NULL AND gone_at IS NULL"
    assert rows(chain.upstream, left) == [("detached",)]

    assert chain.seller.berth("project", "credit", "poor", "50", "--reference", "paid").returncode == 0
    call("POST", f"/deployments/{made_id}/actions", {"action": "start"})
    until(lambda: deployment()["status"] == "running")
    assert chain.run(deployment(), "cat note") == "kept"
    assert len(chain.machines(_core(made_id))) == 2
    call("DELETE", f"/deployments/{made_id}")
    until(lambda: deployment()["status"] == "deleted")
    until(chain.accounts_agree)


def test_an_upstream_killed_in_the_middle_loses_doubles_and_leaves_nothing(chain: Chain) -> None:
    made = chain.order("killed")
    chain.kill_upstream(lambda: bool(chain.machines(_core(made))))
    running = chain.wait(made, "running")
    assert len(chain.machines(_core(made))) == 1
    chain.run(running, "echo kept > note; sync")

    chain.act(made, "stop")
    chain.kill_upstream(lambda: chain.is_wanted(_core(made), "offline"))
    chain.wait(made, "offline")
    chain.act(made, "start")
    assert chain.run(chain.wait(made, "running"), "cat note") == "kept"

    chain.seller.call("DELETE", f"/deployments/{made}")
    chain.kill_upstream(lambda: chain.is_wanted(_core(made), "deleted"))
    chain.wait(made, "deleted")
    assert len(chain.machines(_core(made))) == 1
    until(chain.accounts_agree, seconds=LEFTOVERS_S)


def test_an_eviction_at_the_upstream_ends_as_evicted(chain: Chain) -> None:
    made, access = chain.spot_id, token(chain.seller)
    core_id = ids.of_uuid(made)
    assert core_id is not None
    until(lambda: _shown(chain, made, access) == "running")
    [(machine, _, _)] = chain.machines(core_id)
    assert chain.upstream.berth("evict", machine).returncode == 0
    until(lambda: _shown(chain, made, access) == "discontinued", 180)
    [(reason,)] = rows(chain.seller, "SELECT status_reason FROM instances WHERE id = :id", id=core_id)
    assert reason.startswith("evicted:")


def test_an_account_without_money_at_the_upstream_is_not_the_customer_s_fault(chain: Chain) -> None:
    [row] = rows(
        chain.upstream,
        "SELECT seq FROM entries WHERE amount_micros = 1000000000 AND reverses IS NULL",
    )
    shown = "txn_" + ids.of_number(row[0])
    assert chain.upstream.berth("project", "reverse", "reseller", shown).returncode == 0
    made = chain.order("unpaid")
    failed = chain.wait(made, "error", "failed_no_capacity")
    assert "credit" not in failed["status_reason"]
    assert "fund" not in failed["status_reason"]
    assert failed["billing"]["charging"] is False
    assert not chain.machines(_core(made))
    assert chain.seller.call("GET", "/billing/balance").data["can_deploy"] is True


def _charged(price: int, seconds: int) -> int:
    return (price * max(seconds, MINIMUM_S) + 1800) // 3600


def _volume(chain: Chain, volume_id: str) -> Any:
    return chain.seller.call("GET", f"/volumes/{volume_id}").data


def _deployment(chain: Chain, deployment_id: str) -> Any:
    return chain.seller.call("GET", f"/deployments/{deployment_id}").data


def _shown(chain: Chain, instance_id: str, access: str) -> str:
    return str(iaas(chain.seller, "GET", f"/instances/{instance_id}", None, access).body["status"])
