"""`berth demo` does on this machine what the README promises."""

import subprocess
import sys


def test_the_demo_walks_the_quick_start_and_prints_a_receipt() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "berth", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept over a stop" in done.stdout
    assert "Receipt for dep_" in done.stdout
    assert "$0.285" in done.stdout
