"""Secrets: made once, readable by their owner alone, the same for every process that starts."""

import os
import subprocess
import sys
from pathlib import Path

from berth.base import secrets

LOAD = """
import sys
from pathlib import Path
from berth.base import secrets
sys.stdin.readline()
print(secrets.load_or_create(Path(sys.argv[1])).hex())
"""


def test_a_token_is_its_prefix_and_64_hex_digits() -> None:
    token = secrets.new_token("mk_")
    assert token.startswith("mk_")
    assert len(bytes.fromhex(token.removeprefix("mk_"))) == 32
    assert secrets.new_token("mk_") != token


def test_a_fingerprint_depends_on_the_secret_and_the_pepper() -> None:
    prints = {secrets.fingerprint(pepper, secret) for pepper in (b"a", b"b") for secret in ("x", "y")}
    assert len(prints) == 4
    assert secrets.fingerprint(b"a", "x") in prints


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "pepper"
    made = secrets.load_or_create(path)
    assert len(made) == 32
    assert secrets.load_or_create(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["pepper"]


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    seen = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert seen == {path.read_bytes().hex()}
    assert [entry.name for entry in tmp_path.iterdir()] == ["pepper"]


def test_a_pepper_that_is_there_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """As systemd and containers hand it over: in a directory that is for reading alone."""
    path = tmp_path / "pepper"
    path.write_bytes(b"p" * 32)
    os.utime(tmp_path, (0, 0))
    assert secrets.load_or_create(path) == b"p" * 32
    assert tmp_path.stat().st_mtime == 0
