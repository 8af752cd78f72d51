"""The limits: recorded statements with nothing around them, in a bare sqlite3 loop and through pgbench."""

import os
import re
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import databases
from bench.measure import Sample
from bench.recording import Statement, Template, replays
from berth.base.db import sqlite_path

_BLOCK = 512
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_APART = 10**15
_SLOTS = 100


def open_sqlite(url: str) -> sqlite3.Connection:
    """As Berth opens it: what is compared is the statements' surroundings, not the settings."""
    connection = sqlite3.connect(sqlite_path(url), isolation_level=None, cached_statements=512)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def sqlite(url: str, templates: Sequence[Template], *, per_commit: int, seconds: float) -> Sample:
    """Replays each second; making up the values is not in the time."""
    connection = open_sqlite(url)
    execute = connection.execute
    count, elapsed_s, cpu_s = 0, 0.0, 0.0
    while elapsed_s < seconds:
        block = list(replays(templates, _BLOCK))
        cpu_before, started_at = time.process_time(), time.perf_counter()
        for start in range(0, _BLOCK, per_commit):
            execute("BEGIN IMMEDIATE")
            for template, values in block[start : start + per_commit]:
                for statement, each in zip(template.statements, values, strict=True):
                    cursor = execute(statement.text, each)
                    if statement.how != "run":
                        cursor.fetchall()
            execute("COMMIT")
        elapsed_s += time.perf_counter() - started_at
        cpu_s += time.process_time() - cpu_before
        count += _BLOCK
    connection.close()
    return Sample(count / elapsed_s, cpu_us=cpu_s * 1e6 / count)


def sqlite_reads(url: str, statements: Sequence[Statement], *, seconds: float) -> Sample:
    """One query after the other, every row fetched; milliseconds in the median."""
    connection = open_sqlite(url)
    taken = []
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        for statement in statements:
            started_at = time.perf_counter()
            connection.execute(statement.text, statement.values).fetchall()
            taken.append(time.perf_counter() - started_at)
    connection.close()
    return Sample(sorted(taken)[len(taken) // 2] * 1e3)


def pgbench(url: str, templates: Sequence[Template], *, clients: int, seconds: float) -> Sample:
    """Replays each second through `clients` connections, prepared, one transaction each."""
    program = databases.pgbench()
    assert program is not None, "PostgreSQL came without pgbench"
    with tempfile.TemporaryDirectory() as directory:
        files = []
        for number, template in enumerate(templates):
            path = Path(directory) / f"{number}.sql"
            path.write_text(_script(template), encoding="utf-8")
            files += ["-f", str(path)]
        command = [
            str(program),
            "-n",
            "-M",
            "prepared",
            "-D",
            "made=0",
            "-c",
            str(clients),
            "-j",
            str(min(2, clients)),
        ]
        command += ["-T", str(max(1, round(seconds))), *files, url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return Sample(float(found[1]), errors=int(failed[1]) if failed else 0)


def _script(template: Template) -> str:
    # Ids that grow, as ours do: random ones would touch more pages.
    lines = ["\\set made :made + 1"]
    lines += [
        f"\\set fresh{slot} (:client_id + 1) * {_APART} + :made * {_SLOTS} + {slot}"
        for slot in range(template.fresh_count)
    ]
    lines.append("BEGIN;")
    for statement, slots in zip(template.statements, template.fresh, strict=True):
        written = {
            **{member: _literal(value) for member, value in statement.values.items()},
            **{member: f":fresh{slot}" for member, slot in slots.items()},
        }
        lines.append(_PARAMETER.sub(lambda found, written=written: written[found[1]], statement.text) + ";")  # type: ignore[misc]
    lines.append("COMMIT;")
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(int(value))
        case _:
            # pgbench takes a colon and a letter for a variable, also within quotes.
            text = re.sub(r":(?=\w)", ": ", str(value).replace("\n", " "))
            return "'" + text.replace("'", "''") + "'"
