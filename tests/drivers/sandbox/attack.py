"""What a hostile customer leaves behind so that the control plane may stumble over it at the next start."""

from collections.abc import Sequence
from pathlib import Path

OLD_ROOT = "/oldroot"
"""Where bubblewrap has the host's files while it puts an instance together."""


def traps(bound_paths: Sequence[Path], outside: Path) -> str:
    """A script that puts links to `outside`, a directory on the host, in place of all that may be moved.

    It works from inside and must be the last thing that is done there.
    """
    parts = {path.parts[1] for path in bound_paths if path.parts[1] not in (*FRESH, "root")}
    parts.add("etc")
    # The home directory holds the interpreter where an instance's host keeps it in root's own home.
    parts.update(f"root/{path.parts[2]}" for path in bound_paths if path.parts[1] == "root")
    lines = []
    for number, part in enumerate(sorted(parts, key=len, reverse=True)):
        lines.append(f"mv /{part} /away{number}; ln -s {OLD_ROOT}{outside} /{part}")
    lines += [
        "rm -f /run/agent/ready",
        "mkdir -p /run/agent/ready/full",
        f"ln -s {outside} /run/agent/ready/full/link",
        "mkdir -p /var/lib/closed/deep; chmod 000 /var/lib/closed/deep /var/lib/closed /opt /srv",
        f"ln -s {outside} /var/tmp/outside",
        "chmod 000 /run/agent /",
    ]
    return "; ".join(lines)


FRESH = ("usr", "dev", "proc", "run", "tmp")
"""Made anew at each start, so a mount point below them is out of a customer's reach."""
