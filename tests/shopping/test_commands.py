"""What a shopper says at the command line, what the API is asked then, and what is printed."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shopping import desk as said
from tests.shopping.conftest import Berth
from tests.shopping.desk import CUT, Desk

SESSION = "/api/v1/sessions/sess-abc123"
RENT = ("rent", "vastai-12345", "--poll", "0.02")


def takes(desk: Desk, *then: tuple[int, str]) -> None:
    """An offer that is there, a session that comes up, and what is seen of it."""
    desk.says("GET /api/v1/inventory", (200, said.OFFERS))
    desk.says("POST /api/v1/sessions", (201, said.CREATED))
    desk.says(f"GET {SESSION}", *(then or ((200, said.RUNNING),)))


def with_status(status: str, **members: object) -> str:
    return json.dumps({**json.loads(said.RUNNING), "status": status, **members})


def test_offers_are_compared_in_a_table(berth: Berth, desk: Desk) -> None:
    desk.says("GET /api/v1/inventory", (200, said.OFFERS))
    shown = berth("offers")
    assert shown.status == 0
    for part in ("vastai-12345", "1 × RTX 4090, 24 GB", "$0.45/h", "US-West", "98%", "13.0", "1 of 150"):
        assert part in shown.out


def test_no_terminal_is_too_narrow_for_prices_and_ids(
    berth: Berth, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = f"tensordock-{'a8e2f6b0-1c3d-4e5f-8a9b-0c1d2e3f4a5b'}-geforcertx4090-pcie-24gb:2"
    desk.says("GET /api/v1/inventory", (200, said.OFFERS.replace('"vastai-12345"', f'"{long}"')))
    shown = berth("offers")
    assert long in shown.out
    assert "$0.45/h" in shown.out
    assert desk.asked[0].query == {"limit": "20"}


def test_every_filter_is_asked_of_the_server(berth: Berth, desk: Desk) -> None:
    desk.says("GET /api/v1/inventory", (200, said.OFFERS))
    shown = berth(
        "offers",
        *("-g", "RTX 4090", "-p", "vastai", "--max-price", "0.5", "--min-vram", "24", "--min-gpus", "1"),
        *("--location", "US", "--min-cuda", "12.4", "--min-reliability", "0.9", "--min-confidence", "0.5"),
        *("--template", "abc", "--limit", "5", "--offset", "10", "--json"),
    )
    assert shown.status == 0
    assert desk.asked[0].query == {
        "gpu_type": "RTX 4090",
        "provider": "vastai",
        "max_price": "0.5",
        "min_vram": "24",
        "min_gpu_count": "1",
        "location": "US",
        "min_cuda": "12.4",
        "min_reliability": "0.9",
        "min_availability_confidence": "0.5",
        "template_hash_id": "abc",
        "limit": "5",
        "offset": "10",
    }
    assert json.loads(shown.out) == json.loads(said.OFFERS)


def test_what_is_rented_is_waited_for_and_can_be_logged_in_to(
    berth: Berth, desk: Desk, tmp_path: Path
) -> None:
    takes(desk, (200, with_status("provisioning")), (200, said.RUNNING))
    shown = berth(*RENT, "--hours", "2", "--idle-minutes", "30", "--disk-gb", "100", "--consumer", "me")
    assert shown.status == 0, shown
    key = tmp_path / "keys" / "sess-abc123"
    assert key.read_text() == "-----BEGIN RSA PRIVATE KEY-----\n...\n"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert [path.name for path in key.parent.iterdir()] == ["sess-abc123"]
    assert shown.out.startswith(f"ssh -i {key} -p 22 ")
    assert shown.out.endswith("-- root@192.168.1.100\n")
    assert "is provisioning, at $0.45/h" in shown.error
    assert "berth done sess-abc123" in shown.error
    (body,) = desk.bodies("POST", "/api/v1/sessions")
    assert body == {
        "consumer_id": "me",
        "offer_id": "vastai-12345",
        "workload_type": "interactive",
        "reservation_hours": 2,
        "idle_threshold_minutes": 30,
        "storage_policy": "destroy",
        "launch_mode": "ssh",
        "disk_gb": 100,
    }


def test_a_script_gets_the_session_its_key_and_its_login(berth: Berth, desk: Desk, tmp_path: Path) -> None:
    takes(desk)
    shown = berth(*RENT, "--json")
    found = json.loads(shown.out)
    assert found["session"] == json.loads(said.RUNNING)
    assert found["key_file"] == str(tmp_path / "keys" / "sess-abc123")
    assert found["ssh_command"].startswith("ssh -i ")


def test_an_offer_is_found_by_what_it_has_to_be_like(berth: Berth, desk: Desk) -> None:
    takes(desk)
    assert berth("rent", "--gpu", "RTX 4090", "--max-price", "0.5", "--poll", "0.02").status == 0
    assert desk.asked[0].query == {"gpu_type": "RTX 4090", "max_price": "0.5", "limit": "5"}


def test_an_offer_above_the_price_is_not_taken_whatever_the_server_says(berth: Berth, desk: Desk) -> None:
    takes(desk)
    shown = berth("rent", "--gpu", "RTX 4090", "--max-price", "0.44")
    assert (shown.status, desk.bodies("POST", "/api/v1/sessions")) == (1, [])
    assert "no offer is like that" in shown.error


def test_an_offer_that_is_gone_makes_way_for_the_next(berth: Berth, desk: Desk) -> None:
    takes(desk)
    two = json.loads(said.OFFERS)
    two["offers"].append({**two["offers"][0], "id": "vastai-2"})
    desk.says("GET /api/v1/inventory", (200, json.dumps(two)))
    desk.says("POST /api/v1/sessions", (503, said.STALE), (201, said.CREATED))
    shown = berth("rent", "--gpu", "RTX 4090", "--poll", "0.02")
    assert shown.status == 0
    assert [each["offer_id"] for each in desk.bodies("POST", "/api/v1/sessions")] == [
        "vastai-12345",
        "vastai-2",
    ]
    keys = [asked.headers["Idempotency-Key"] for asked in desk.asked if asked.method == "POST"]
    assert len(set(keys)) == 2


def test_the_one_offer_that_was_named_is_not_replaced(berth: Berth, desk: Desk, tmp_path: Path) -> None:
    takes(desk)
    desk.says("POST /api/v1/sessions", (503, said.STALE))
    shown = berth(*RENT)
    assert shown.status == 1
    assert "no longer available" in shown.error
    assert list((tmp_path / "keys").iterdir()) == []


def test_an_answer_that_was_lost_is_asked_for_again_and_never_a_second_session(
    berth: Berth, desk: Desk
) -> None:
    takes(desk)
    desk.says("POST /api/v1/sessions", CUT, (201, said.CREATED))
    assert berth(*RENT).status == 0
    keys = [asked.headers["Idempotency-Key"] for asked in desk.asked if asked.method == "POST"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_key_that_got_lost_on_the_way_is_said_with_what_to_do(berth: Berth, desk: Desk) -> None:
    takes(desk)
    without = {name: value for name, value in json.loads(said.CREATED).items() if name == "session"}
    desk.says("POST /api/v1/sessions", CUT, (201, json.dumps({**without, "note": "told once"})))
    shown = berth(*RENT)
    assert shown.status == 1
    assert "berth done sess-abc123" in shown.error


def test_a_server_that_stays_away_leaves_a_word_of_what_may_exist(berth: Berth, desk: Desk) -> None:
    takes(desk)
    desk.says("POST /api/v1/sessions", CUT)
    shown = berth(*RENT)
    assert shown.status == 1
    assert "A session may exist: `berth sessions` shows it" in shown.error


def test_a_session_that_fails_says_why(berth: Berth, desk: Desk) -> None:
    takes(desk, (200, with_status("failed", error="SSH never answered")))
    shown = berth(*RENT)
    assert (shown.status, shown.out) == (1, "")
    assert "sess-abc123 failed: SSH never answered" in shown.error


def test_waiting_ends_and_says_what_goes_on(berth: Berth, desk: Desk) -> None:
    takes(desk, (200, with_status("provisioning")))
    shown = berth(*RENT, "--wait", "0.001")
    assert shown.status == 1
    assert "is left as it is (provisioning, $0.45/h): end it with `berth done sess-abc123`" in shown.error


def test_a_server_that_restarts_while_a_session_comes_up_is_waited_for(berth: Berth, desk: Desk) -> None:
    takes(desk, CUT, (502, "<html>"), (503, '{"error": "not ready"}'), (200, said.RUNNING))
    assert berth(*RENT).status == 0


def test_a_session_that_is_taken_away_while_it_comes_up_is_not_waited_for(berth: Berth, desk: Desk) -> None:
    takes(desk, (404, '{"error": "session not found"}'))
    shown = berth(*RENT)
    assert shown.status == 1
    assert "session not found" in shown.error


def test_ctrl_c_leaves_the_session_and_says_how_to_end_it(desk: Desk, tmp_path: Path) -> None:
    takes(desk, (200, with_status("provisioning")))
    script = (
        "import signal, sys, threading, urllib.request\n"
        # Also where the suite runs in the background of a script, which ignores it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from berth.cli import main\n"
        "def interrupt():\n"
        "    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)\n"
        "threading.Timer(1.0, interrupt).start()\n"
        "main(sys.argv[1:])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *RENT, "--server", desk.url],
        env={**os.environ, "BERTH_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert "end it with `berth done sess-abc123`" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "keys" / "sess-abc123").exists()


def test_nothing_is_taken_where_no_key_could_be_kept(berth: Berth, desk: Desk, tmp_path: Path) -> None:
    takes(desk)
    (tmp_path / "keys").write_text("in the way")
    shown = berth(*RENT)
    assert (shown.status, desk.bodies("POST", "/api/v1/sessions")) == (1, [])
    assert "no key could be kept" in shown.error


def test_an_id_that_is_a_path_writes_nothing_elsewhere(berth: Berth, desk: Desk, tmp_path: Path) -> None:
    takes(desk)
    desk.says("POST /api/v1/sessions", (201, said.CREATED.replace("sess-abc123", "../evil")))
    assert berth(*RENT).status == 1
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("rent",), "name an offer"),
        (("rent", "vastai-1", "--gpu", "A100"), "says it all"),
        (("rent", "vastai-404"), "nothing is said of"),
        (("done", "sess-404"), "nothing is said of"),
        (("ssh", "../etc"), "no id of a session"),
        (("offers", "--server", "ftp://x"), "no address of a server"),
        (("offers", "--server", "http://127.0.0.1:99999"), "no address of a server"),
        (("offers", "--server", "http://127.0.0.1:1"), "does not answer"),
        (("sessions", "--server", "http://127.0.0.1:1/api"), "no address of a server"),
    ],
)
def test_a_mistake_is_one_clear_line(berth: Berth, arguments: tuple[str, ...], sentence: str) -> None:
    shown = berth(*arguments)
    assert shown.status == 1
    assert sentence in shown.error
    assert len(shown.error.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [("extend", "x", "13"), ("rent", "x", "--hours", "0"), ("offers", "--limit", "0")]
)
def test_a_value_out_of_its_range_is_not_sent(berth: Berth, desk: Desk, arguments: tuple[str, ...]) -> None:
    assert berth(*arguments).status != 0
    assert desk.asked == []


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (
            400,
            '{"error": "max_price must be at least 0, got \\"x\\"", "request_id": "r"}',
            "must be at least 0",
        ),
        (401, '{"error": "Invalid key", "request_id": "r"}', "Invalid key (--api-key, or BERTH_API_KEY)"),
        (503, said.STALE, "offer unavailable due to stale inventory: The selected offer"),
        (500, "<html>", "the server answered 500"),
        (200, "<html>", "no JSON"),
        (200, "[]", "no JSON"),
        (200, "[" * 100_000, "no JSON"),
        (302, "{}", "answered 302"),
        (400, '{"error": "a\\u001b[31mb\\u202e [red]c[/red]"}', "a[31mb [red]c[/red]"),
    ],
)
def test_a_refusal_is_shown_as_it_was_said_and_obeyed_by_no_terminal(
    berth: Berth, desk: Desk, status: int, body: str, sentence: str
) -> None:
    desk.says("GET /api/v1/inventory", (status, body))
    shown = berth("offers")
    assert shown.status == 1
    assert sentence in shown.error
    assert "\x1b" not in shown.error


def test_a_key_is_sent_where_there_is_one(berth: Berth, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.says("GET /api/v1/sessions", (200, '{"sessions": [], "count": 0}'))
    berth("sessions")
    monkeypatch.setenv("BERTH_API_KEY", "mk_environment")
    berth("sessions")
    shown = berth("sessions", "--api-key", "mk_argument")
    sent = [asked.headers.get("X-API-Key") for asked in desk.asked]
    assert sent == [None, "mk_environment", "mk_argument"]
    assert shown.out == "There are no sessions.\n"


def test_a_key_that_no_header_could_hold_is_said(berth: Berth) -> None:
    shown = berth("sessions", "--api-key", "mk_a\nb")
    assert (shown.status, len(shown.error.splitlines())) == (1, 1)
    assert "mk_a" not in shown.error


def test_an_old_session_that_goes_on_is_listed_however_many_newer_ones_ended(
    berth: Berth, desk: Desk
) -> None:
    ended, old = json.loads(with_status("stopped", id="sess-new")), json.loads(said.RUNNING)
    nobody = (200, '{"sessions": [], "count": 0}')
    desk.says(
        "GET /api/v1/sessions",
        (200, json.dumps({"sessions": [ended], "count": 1})),
        nobody,
        nobody,
        (200, json.dumps({"sessions": [old], "count": 1})),
        nobody,
    )
    shown = berth("sessions", "--limit", "1", "--consumer", "me", "--json")
    assert [row["id"] for row in json.loads(shown.out)["sessions"]] == [old["id"]]
    assert [asked.query.get("status") for asked in desk.asked] == [
        *(None, "pending", "provisioning", "running", "stopping")
    ]
    assert {asked.query["consumer_id"] for asked in desk.asked} == {"me"}


def test_sessions_that_ended_are_listed_when_asked_for(berth: Berth, desk: Desk) -> None:
    rows = [json.loads(said.RUNNING), json.loads(with_status("failed", id="sess-old", error="no capacity"))]
    desk.says("GET /api/v1/sessions", (200, json.dumps({"sessions": rows, "count": 2})))
    some, everything = berth("sessions"), berth("sessions", "--all")
    assert "sess-old" not in some.out
    assert "root@192.168.1.100:22" in some.out
    assert "no capacity" in everything.out
    assert json.loads(berth("sessions", "--json").out)["count"] == 1
    berth("sessions", "--status", "failed", "--consumer", "me", "-p", "vastai", "--limit", "3")
    assert desk.asked[-1].query == {
        "status": "failed",
        "consumer_id": "me",
        "provider": "vastai",
        "limit": "3",
    }


def test_done_sees_the_end_and_says_what_it_cost(berth: Berth, desk: Desk) -> None:
    desk.says(f"POST {SESSION}/done", (200, said.DONE))
    desk.says(f"GET {SESSION}", (200, with_status("stopped")))
    desk.says("GET /api/v1/costs", (200, said.COST))
    shown = berth("done", "sess-abc123")
    assert (shown.status, shown.out) == (0, "sess-abc123 is stopped. It cost $1.35.\n")
    assert berth("done", "sess-abc123", "--wait", "0").out == "session shutdown initiated\n"
    desk.says(f"DELETE {SESSION}", (200, said.DESTROYED))
    assert json.loads(berth("done", "sess-abc123", "--destroy", "--json").out)["cost"]["total_cost"] == 1.35


def test_an_end_that_takes_long_is_no_success(berth: Berth, desk: Desk) -> None:
    desk.says(f"POST {SESSION}/done", (200, said.DONE))
    desk.says(f"GET {SESSION}", (200, with_status("stopping")))
    shown = berth("done", "sess-abc123", "--wait", "0.0001")
    assert shown.status == 1
    assert "still stopping" in shown.error


def test_a_session_is_extended(berth: Berth, desk: Desk) -> None:
    desk.says(f"POST {SESSION}/extend", (200, said.EXTENDED))
    shown = berth("extend", "sess-abc123", "2")
    assert shown.out == "sess-abc123 ends at 2026-01-29T16:00:00Z.\n"
    assert desk.bodies("POST", f"{SESSION}/extend") == [{"additional_hours": 2}]


def test_costs_are_shown_for_a_session_and_for_a_time(berth: Berth, desk: Desk) -> None:
    desk.says("GET /api/v1/costs", (200, said.COST), (200, said.COSTS))
    assert berth("costs", "sess-abc123").out == "sess-abc123 cost $1.35.\n"
    shown = berth("costs", "--period", "monthly", "--consumer", "my-application")
    for part in ("provider vastai", "$30.00", "GPU A100", "$20.67", "12 sessions, 98.5 hours", "$45.67"):
        assert part in shown.out
    assert desk.asked[-1].query == {"period": "monthly", "consumer_id": "my-application"}
    berth("costs", "--start", "2026-01-01", "--end", "2026-02-01")
    assert desk.asked[-1].query == {"start_date": "2026-01-01", "end_date": "2026-02-01"}


def ssh(desk: Desk, tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`berth ssh` in a process of its own, with an ssh that prints what it is started with."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "ssh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    (folder / "ssh").chmod(0o755)
    return subprocess.run(
        [sys.executable, "-m", "berth", "ssh", *arguments],
        env={
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "BERTH_DATA_DIR": str(tmp_path),
            "BERTH_URL": desk.url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_ssh_is_started_with_the_key_that_was_kept(desk: Desk, tmp_path: Path) -> None:
    desk.says(f"GET {SESSION}", (200, said.RUNNING))
    key = tmp_path / "keys" / "sess-abc123"
    key.parent.mkdir()
    key.write_text("a key")
    ended = ssh(desk, tmp_path, "sess-abc123", "nvidia-smi", "-L")
    assert ended.returncode == 7, ended.stderr
    assert ended.stdout.splitlines() == [
        *("-i", str(key), "-p", "22", "-o", "IdentitiesOnly=yes"),
        *("-o", f'UserKnownHostsFile="{key}.known_hosts"', "-o", "StrictHostKeyChecking=accept-new"),
        *("--", "root@192.168.1.100", "nvidia-smi", "-L"),
    ]


@pytest.mark.parametrize(
    ("session", "has_key", "sentence"),
    [
        (said.RUNNING, False, "told once, to whoever rented"),
        (with_status("failed", error="it broke"), True, "sess-abc123 is failed: it broke"),
        (with_status("provisioning", ssh_host=None), True, "cannot be logged in to yet"),
        (with_status("running", ssh_host="-oProxyCommand=evil"), True, "no login that ssh would understand"),
        (with_status("running", ssh_user="a;b"), True, "no login that ssh would understand"),
        (with_status("running", ssh_port="22 -oProxyCommand=x"), True, "no login that ssh would understand"),
    ],
)
def test_ssh_is_not_started_for_what_cannot_be_logged_in_to(
    berth: Berth, desk: Desk, tmp_path: Path, session: str, has_key: bool, sentence: str
) -> None:
    desk.says(f"GET {SESSION}", (200, session))
    if has_key:
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys" / "sess-abc123").write_text("a key")
    shown = berth("ssh", "sess-abc123")
    assert shown.status == 1
    assert sentence in shown.error
