"""How a session is logged in to: by ssh, with its own key, and with its host key apart from the user's own list."""

import re
import shutil
from collections.abc import Sequence

from berth.shopping.calls import Failed, Json
from berth.shopping.keys import Keys

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9:._-]{0,252}", re.ASCII)
_PORTS = range(1, 65536)
_ENDED = {"stopping", "stopped", "failed"}


def arguments(session: Json, keys: Keys, command: Sequence[str] = ()) -> list[str]:
    """What to start. Raises Failed for a session that nobody can log in to, or not from here."""
    session_id, status = str(session.get("id", "")), str(session.get("status", ""))
    if status in _ENDED:
        raise Failed(f"{session_id} is {status}" + (f": {session['error']}" if session.get("error") else ""))
    host, user, port = (
        session.get("ssh_host"),
        session.get("ssh_user") or "root",
        session.get("ssh_port") or 22,
    )
    if not host:
        raise Failed(f"{session_id} is {status} and cannot be logged in to yet")
    # They come from a server and go into a command line.
    if not _HOST.fullmatch(str(host)) or not _USER.fullmatch(str(user)) or port not in _PORTS:
        raise Failed(f"{session_id} has no login that ssh would understand: {user}@{host}:{port}")
    path = keys.path(session_id)
    if not path.exists():
        raise Failed(f"there is no key at {path}: it was told once, to whoever rented {session_id}")
    hosts = path.with_name(f"{path.name}.known_hosts")
    return [
        *("ssh", "-i", str(path), "-p", str(port)),
        *("-o", "IdentitiesOnly=yes"),
        *("-o", f"UserKnownHostsFile={_quoted(str(hosts))}"),
        *("-o", "StrictHostKeyChecking=accept-new"),
        *("--", f"{user}@{host}"),
        *command,
    ]


def program() -> str:
    """Where ssh is. Raises Failed without it."""
    found = shutil.which("ssh")
    if found is None:
        raise Failed("there is no ssh on this machine")
    return found


def _quoted(path: str) -> str:
    """As a value of ssh's, which splits at spaces and replaces what follows a percent sign."""
    return '"' + path.replace("%", "%%") + '"'
