"""A shopper at the command line, against a real server: rent, work, end, and know what it cost."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.processes.running import Server

pytestmark = pytest.mark.slow
OFFER = "sandbox-1V100.6V@FIN-01"


def said(server: Server, *arguments: str) -> Any:
    ended = server.berth(*arguments, "--json", "--server", f"http://127.0.0.1:{server.port}")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_what_is_rented_is_worked_on_and_ended_and_paid_for(server: Server) -> None:
    server.start()
    here = f"http://127.0.0.1:{server.port}"
    assert OFFER in {offer["id"] for offer in said(server, "offers", "--limit", "1000")["offers"]}
    rented = said(server, "rent", OFFER, "--poll", "0.1")
    session = rented["session"]["id"]
    assert Path(rented["key_file"]).stat().st_mode & 0o777 == 0o600
    assert asyncio.run(echoed(rented)) == "from inside\n"
    ended = said(server, "done", session)
    assert ended["session"]["status"] == "stopped"
    assert ended["cost"]["total_cost"] == said(server, "costs", session)["total_cost"] > 0
    assert said(server, "sessions")["count"] == 0
    again = server.berth("done", session, "--server", here)
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1


async def echoed(rented: Any) -> str:
    """As `ssh_command` does, on hosts without that program too."""
    session = rented["session"]
    async with asyncssh.connect(
        session["ssh_host"],
        session["ssh_port"],
        username=session["ssh_user"],
        client_keys=[rented["key_file"]],
        known_hosts=None,
        config=None,
    ) as connection:
        return str((await connection.run("echo from inside", check=True)).stdout)
