"""What an operator does at the command line, and what the trail says of it."""

import json
import os
import pwd

from tests.processes.running import Server


def test_the_trail_names_who_did_what_from_where(server: Server) -> None:
    server.start()
    made = (server.call("POST", "/api-keys", {"name": "ci"})).data
    found = server.berth("audit", "--json", "--type", "api_key.*", "--since", "1h", "--limit", "5")
    assert found.returncode == 0, found.stderr
    (line,) = [json.loads(line) for line in found.stdout.splitlines()]
    assert (line["project"], line["type"], line["address"]) == ("default", "api_key.created", "127.0.0.1")
    assert made["id"] == "ak_" + line["subject"]
    assert line["request_id"].startswith("req_")
    assert line["data"] == {"name": "ci", "scopes": ["*"]}
    by_actor = server.berth("audit", "--actor", f"ak_{line['actor']}", "--subject", made["id"])
    assert "api_key.created" in by_actor.stdout
    assert server.berth("audit", "--since", "yesterday").returncode == 2
    assert server.berth("audit", "--project", "nobody").returncode == 2
    operator = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    created = server.berth("audit", "--actor", operator, "--json", "--project", "default")
    assert "project.created" in created.stdout


def test_an_operator_lets_a_project_back_in_and_sets_what_it_decided(server: Server) -> None:
    server.start()
    made = server.berth("project", "key", "default", "--scope", "deployments:read", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    as_key = {"X-API-Key": key["api_key"]}
    assert server.call("GET", "/deployments", headers=as_key).status == 200
    assert server.call("GET", "/billing/balance", headers=as_key).status == 403
    assert server.call("GET", f"/api-keys/{key['id']}").data["created_by"] == "operator"
    assert server.berth("project", "key", "nobody").returncode == 2
    assert server.berth("project", "key", "default", "--scope", "fly").returncode == 2
    assert "on" in server.berth("project", "set", "default", "--unique-hostnames", "on").stdout
    assert server.call("GET", "/account/settings").data == {"unique_active_hostname": True}
    assert "on" in server.berth("project", "set", "default").stdout
    assert "off" in server.berth("project", "set", "default", "--unique-hostnames", "off").stdout


def test_an_operator_adds_credit_once_for_each_reference_and_looks_through_the_books(server: Server) -> None:
    server.start()
    for _ in range(2):
        added = server.berth("project", "credit", "default", "7.25", "--reference", "invoice-1", "--json")
        assert json.loads(added.stdout) == {"name": "default", "balance_micros": 107_250_000}
    assert server.call("GET", "/billing/balance").data["balance_usd"] == 107.25
    [row] = [
        row
        for row in server.call("GET", "/billing/transactions?type=topup").data
        if row["reference"] != "initial"
    ]
    assert (row["reference"], row["amount_usd"]) == ("invoice-1", 7.25)
    assert server.berth("project", "credit", "default", "8", "--reference", "invoice-1").returncode == 0
    for refused in (
        ("default", "-8", "--reference", "invoice-2"),
        ("nobody", "8", "--reference", "invoice-2"),
    ):
        assert server.berth("project", "credit", *refused).returncode == 2
    assert server.call("GET", "/billing/balance").data["balance_usd"] == 107.25
    for _ in range(2):
        taken_back = server.berth("project", "reverse", "default", row["id"], "--note", "paid twice")
        assert (taken_back.returncode, taken_back.stdout) == (0, "default has $100.00.\n")
    reversal = server.call("GET", "/billing/transactions?type=reversal").data
    assert [(each["reverses"], each["amount_usd"], each["description"]) for each in reversal] == [
        (row["id"], -7.25, "Reversal: paid twice")
    ]
    for nothing in ("txn_zzz", reversal[0]["id"]):
        assert server.berth("project", "reverse", "default", nothing).returncode == 2
    books = server.berth("report", "books")
    assert (books.returncode, books.stdout) == (0, "The books agree.\n")
    margin = json.loads(server.berth("report", "margin", "--json").stdout)
    assert margin["total"]["revenue_micros"] == 0


def test_an_operator_keeps_the_oauth_clients_of_a_project(server: Server) -> None:
    server.start()
    made = server.berth("project", "client", "create", "default", "--json")
    assert made.returncode == 0, made.stderr
    client = json.loads(made.stdout)
    assert set(client) == {"client_id", "client_secret"}
    assert client["client_id"] in server.berth("project", "client", "list", "default").stdout
    revoked = server.berth("project", "client", "revoke", "default", client["client_id"])
    assert f"{client['client_id']} is revoked." in revoked.stdout
    assert server.berth("project", "client", "revoke", "default", "nobody").returncode == 2
    assert server.berth("project", "client", "create", "nobody").returncode == 2


def test_an_operator_evicts_spot_and_nothing_else(server: Server) -> None:
    server.start()
    assert server.berth("evict", "nobody").returncode == 2
    assert server.berth("evict", "nobody", "--in", "-1").returncode != 0
