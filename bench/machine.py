"""The machine under the figures: its cores, its disk's fsync, its versions, and the CPU time of a process."""

import os
import platform
import sqlite3
import tempfile
import time
from importlib import metadata
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1
_FSYNC_SIZE = 4096


def pin(core: int | None) -> None:
    """Keeps this process, and the children it starts from now on, on one core; None lets them roam."""
    present = range(os.cpu_count() or 1)
    os.sched_setaffinity(0, set(present) if core is None else {core % len(present)})


def cpu_s(pid: int) -> float:
    """Seconds of CPU that process `pid` has used, all its threads together."""
    # The kernel's number for the CPU clock of another process; see clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def fsyncs_per_s(directory: Path, *, seconds: float = 1.0) -> float:
    """How often a second 4 KiB can be appended and made durable in `directory`."""
    block = os.urandom(_FSYNC_SIZE)
    with tempfile.TemporaryFile(dir=directory) as file:
        count = 0
        started_at = time.perf_counter()
        while (elapsed := time.perf_counter() - started_at) < seconds:
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            count += 1
    return count / elapsed


def describe(directory: Path) -> dict[str, str]:
    """What the figures were taken on."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "uvloop": metadata.version("uvloop"),
        "fsync of 4 KiB": f"{fsyncs_per_s(directory):.0f}/s",
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
