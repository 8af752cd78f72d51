"""Runs once in a throw-away instance and prints what works in it, as JSON.

One file without imports of our package, like the agent, and started the same way.

    trial.py <library path>...
"""

import json
import os
import resource
import sys
from pathlib import Path


def main() -> None:
    seen = {"agent_runs": agent_runs(), "usr_is_writable": usr_is_writable(), "processes": processes()}
    print(json.dumps(seen))  # noqa: T201


def agent_runs() -> str | None:
    """None when the agent's libraries can be loaded, else the reason why not."""
    sys.path.extend(sys.argv[1:])
    try:
        import asyncssh  # noqa: F401, PLC0415
    except ImportError as error:
        return str(error)
    return None


def usr_is_writable() -> bool:
    # Without root the overlay is mounted and only writing shows that it does not work.
    try:
        Path("/usr/.berth-trial").write_text("written")
    except OSError:
        return False
    return True


def processes() -> bool:
    """Whether a limit on processes that is set in here is kept: not where the host's user is root."""
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    try:
        child = os.fork()
    except OSError:
        return True
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return False


if __name__ == "__main__":
    main()
