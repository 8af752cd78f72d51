"""Runs a control plane in a process of its own and has it killed on the way."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

from tests.drivers.sandbox.rig import SandboxRig

VICTIM = Path(__file__).with_name("victim.py")
VICTIM_LIMIT_S = 60.0


def kill_during(rig: SandboxRig, verb: str, *arguments: object, at: str, **named: object) -> None:
    """Calls the driver's `verb` in another process, which is killed at the moment `at`: see `victim.watch`."""
    task = rig.config.state_dir.with_name("task")
    task.write_bytes(pickle.dumps((rig.config, verb, arguments, named, at)))
    with subprocess.Popen(
        [sys.executable, str(VICTIM), str(task)],
        start_new_session=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as victim:
        try:
            victim.wait(VICTIM_LIMIT_S)
        finally:
            victim.kill()
    assert victim.returncode == -signal.SIGKILL
