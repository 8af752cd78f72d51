"""A process that is killed in the middle of its work has kept every write it said it kept."""

import signal
import subprocess
import sys
from typing import IO

from berth.base.clock import SystemClock
from berth.base.db import Tx, connect

ACKNOWLEDGED = 150
WRITER = """
import sys, threading
from berth.base.clock import SystemClock
from berth.base.db import connect

database = connect(sys.argv[1], SystemClock())
tell = threading.Lock()

def put(tx, key):
    tx.run("INSERT INTO installation (key, value) VALUES (:key, 'x')", key=key)

def work(name):
    for number in range(1_000_000):
        key = f"{name}-{number}"
        database.write_now(put, key)
        with tell:
            print(key, flush=True)

for name in range(8):
    threading.Thread(target=work, args=(name,)).start()
"""


def keys(tx: Tx) -> set[str]:
    return {row[0] for row in tx.all("SELECT key FROM installation")}


def read_lines(stream: IO[str], least: int) -> list[str]:
    return [stream.readline().strip() for _ in range(least)]


def test_no_acknowledged_write_is_lost_when_the_process_is_killed(database_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, database_url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = read_lines(process.stdout, ACKNOWLEDGED)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines(keepends=True)
    acknowledged += [line.strip() for line in rest if line.endswith("\n")]
    database = connect(database_url, SystemClock())
    assert len(acknowledged) >= ACKNOWLEDGED
    assert set(acknowledged) <= database.read_now(keys)
    database.write_now(lambda tx: tx.run("INSERT INTO installation (key, value) VALUES ('after', 'x')"))
    database.close()
