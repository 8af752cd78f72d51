"""Keeps true: no session is older than it may be, or off unnoticed, and those that are to end when idle are looked at.

What is seen of a session's use is asked over SSH once a minute, of several at once. One that cannot be asked is not
idle for that: it ends on a signal, never on silence.
"""

import asyncio

import structlog

from berth.base.login import Outcome
from berth.core import measures, sessions
from berth.core.sessions import Readings, Session
from berth.loops.world import Report, World

PERIOD_S = 15.0
BATCH = 100
LOOKED_AT = 32
"""Sessions looked at over SSH in one tick, all at once."""
COMMAND = (
    "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null | sed 's/^/gpu /';"
    " if [ -r /sys/fs/cgroup/cpu.stat ]; then sed -n 's/^usage_usec /cpu /p' /sys/fs/cgroup/cpu.stat;"
    " elif [ -r /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then"
    " sed 's/...$//;s/^/cpu /' /sys/fs/cgroup/cpuacct/cpuacct.usage;"
    " else sed -n 's/^.*) [A-Za-z] //p' /proc/[0-9]*/stat 2>/dev/null"
    " | awk '{t += $11 + $12} END {printf \"cpu %.0f\\n\", t * 10000}'; fi;"
    " df -Pk / 2>/dev/null | awk 'NR == 2 {print \"disk \" $4}'; true"
)
"""Lines of `gpu PERCENT`, `cpu MICROSECONDS` and `disk KILOBYTES`. A container's own use where there is a count of
that, else that of the processes that live: of a whole host it would be the neighbours' too.
"""
_KB_PER_GB = 1_000_000
_MOST_PERCENT = 100
_log = structlog.get_logger()


async def tick(world: World) -> Report:
    """Ends up to `BATCH` sessions that must not go on, and looks at up to `LOOKED_AT`."""
    due = await world.db.read(sessions.unsettled, world.session_rules, limit=BATCH)
    for session_id in due:
        if await world.db.write(sessions.attend, session_id, world.session_rules, world.rules):
            world.meters.add(measures.HARD_MAX)
    if due:
        world.poke("provisioning")
    await world.db.write(sessions.retire, limit=BATCH)
    looked_at = await world.db.write(sessions.lease_samples, limit=LOOKED_AT)
    await asyncio.gather(*(_look(world, session) for session in looked_at))
    return Report(done=len(due) + len(looked_at), has_more=len(due) == BATCH or len(looked_at) == LOOKED_AT)


async def _look(world: World, session: Session) -> None:
    instance = session.instance
    if instance.ip is None or instance.ssh_port is None:
        return
    answer = await world.login(
        instance.ip, instance.ssh_port, instance.ssh_user, COMMAND, world.patience.login_s
    )
    if answer.outcome is not Outcome.DONE:
        _log.warning("session_not_sampled", session=session.id, outcome=answer.outcome.value)
        return
    found = readings(answer.output)
    if found.disk_free_gb is not None:
        world.meters.observe(measures.DISK_FREE_GB, found.disk_free_gb, provider=instance.provider)
    await world.db.write(sessions.sampled, session.id, found, world.rules)


def readings(output: str) -> Readings:
    """What the command wrote. A line that is no number is left out: whoever is in there may write what they like."""
    found: dict[str, list[int]] = {"gpu": [], "cpu": [], "disk": []}
    for line in output.splitlines():
        word, _, value = line.partition(" ")
        if word in found and value.strip().isascii() and value.strip().isdigit():
            found[word].append(int(value.strip()[:18]))
    gpu = [percent for percent in found["gpu"] if percent <= _MOST_PERCENT]
    return Readings(
        gpu_percent=max(gpu, default=None),
        cpu_used_us=found["cpu"][0] if found["cpu"] else None,
        disk_free_gb=found["disk"][0] // _KB_PER_GB if found["disk"] else None,
    )
