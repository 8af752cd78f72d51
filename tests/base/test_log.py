"""The log of a service: JSON, one event a line, whoever speaks."""

import json
import subprocess
import sys

_SPEAK = """
import logging, structlog
from berth.base import log
log.configure(is_json=True)
structlog.get_logger().warning("ours", number=1)
logging.getLogger("theirs").info("not of interest")
logging.getLogger("theirs").warning("two\\nlines about %s", "it")
try:
    raise ValueError("no")
except ValueError:
    logging.getLogger("theirs").exception("failed")
"""


def test_what_libraries_say_is_an_event_as_ours_are() -> None:
    done = subprocess.run([sys.executable, "-c", _SPEAK], capture_output=True, text=True, check=True)
    ours, theirs, failed = [json.loads(line) for line in done.stderr.splitlines()]
    assert (ours["event"], ours["level"], ours["number"]) == ("ours", "warning", 1)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == (
        "two\nlines about it",
        "warning",
        "theirs",
    )
    assert "ValueError: no" in failed["exception"]
    assert {"timestamp"} <= theirs.keys() & failed.keys()
