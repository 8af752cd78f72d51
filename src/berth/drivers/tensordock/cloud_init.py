"""What a new virtual machine runs at its first boot: keys for both users, then the customer's own script. Pure.

Files are written by commands and not by `write_files`: clients disagree on how the API takes those.
"""

import re
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence

from berth.core.driver import Refused

USERS = {"root": "/root", "user": "/home/user"}
"""Who may log in, and where each lives."""
_SCRIPT = "/var/lib/berth-startup"
_ENVIRONMENT = "/etc/profile.d/berth.sh"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def run_commands(
    keys: Sequence[str], environment: Mapping[str, str], startup_script: str | None
) -> list[str]:
    """Raises Refused for an environment that no shell could hold."""
    commands = [command for user, home in USERS.items() for command in _let_in(user, home, keys)]
    if environment:
        commands += _written(_ENVIRONMENT, "0644", _exports(environment))
    if startup_script:
        commands += [*_written(_SCRIPT, "0700", startup_script), _started(bool(environment))]
    return commands


def _let_in(user: str, home: str, keys: Sequence[str]) -> list[str]:
    """Replaces what is there: an image may forbid root's login by a line in that very file."""
    folder, file = f"{home}/.ssh", f"{home}/.ssh/authorized_keys"
    lines = "".join(f"{key.strip()}\n" for key in keys)
    group = f"$(id -gn {user})"
    return [
        f"install -d -m 0700 -o {user} -g {group} {folder}",
        *_written(file, "0600", lines),
        f"chown {user}:{group} {file}",
    ]


def _written(path: str, mode: str, content: str) -> list[str]:
    encoded = b64encode(content.encode()).decode("ascii")
    return [f"printf %s {encoded} | base64 -d > {path}", f"chmod {mode} {path}"]


def _exports(environment: Mapping[str, str]) -> str:
    for name in environment:
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} is no name of a variable", reason="A variable's name is not valid.")
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def _started(has_environment: bool) -> str:  # noqa: FBT001 - one caller, beside its own name
    before = f". {_ENVIRONMENT}; " if has_environment else ""
    return f"sh -c '{before}exec {_SCRIPT}'"
