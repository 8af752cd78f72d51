"""The sandbox works for an ordinary user too, where the host lets ordinary users have namespaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("unprivileged.py")
NOBODY = 65534
LIMIT_S = 90


def interpreter() -> str | None:
    """A Python like ours that an ordinary user may execute: ours, or the system's where ours is private."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin:/bin")):
        if candidate is not None and runs_for_nobody(candidate):
            return candidate
    return None


def runs_for_nobody(candidate: str) -> bool:
    try:
        answer = as_nobody(
            [candidate, "-c", "import asyncssh, msgspec, berth, tests.drivers.rigs"], Path("/")
        )
    except OSError:
        return False
    return answer.returncode == 0


def as_nobody(line: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=directory,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test runs as an ordinary user already")
def test_an_ordinary_user_has_instances_that_live_and_are_kept() -> None:
    python = interpreter()
    if python is None:
        pytest.skip("no interpreter with our packages is readable to an ordinary user")
    # Not below the test's own directory, which is closed to other users.
    home = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        os.chown(home, NOBODY, NOBODY)
        answer = as_nobody([python, str(SCRIPT), str(home)], home)
        assert answer.returncode == 0, answer.stderr
        seen = json.loads(answer.stdout)
    finally:
        shutil.rmtree(home)
    if seen["problem"] is not None:
        pytest.skip(seen["problem"])
    assert seen["user"] == NOBODY
    assert seen["layout"] == "bind"
    assert seen["usr"] == "read-only\n"
    assert seen["kept"] == "kept\nkept\n0\n"
    assert "processes" in seen["limits"]
    assert seen["trapped"] == "up\n"
    assert seen["volume"] == "kept\n"
    assert seen["outside"] == []
    assert seen["volumes"] == []
    assert seen["is_gone"] is True
