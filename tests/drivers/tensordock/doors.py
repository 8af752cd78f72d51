"""SSH servers of virtual machines that are only pretended: each lets in whom its first boot was told to, and can echo."""

import re
import shlex
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import asyncssh

_INSTALLED = re.compile(r"printf %s (\S+) \| base64 -d > /(root|home/user)/\.ssh/authorized_keys")
_USERS = {"root": "root", "home/user": "user"}


def keys_of(cloud_init: dict[str, Any]) -> dict[str, set[str]]:
    """The keys, as type and content, that the commands of a first boot install, by user."""
    found: dict[str, set[str]] = {}
    for command in cloud_init.get("runcmd", []):
        if written := _INSTALLED.fullmatch(command):
            lines = b64decode(written[1]).decode().splitlines()
            found[_USERS[written[2]]] = {" ".join(line.split()[:2]) for line in lines}
    return found


class _Door(asyncssh.SSHServer):
    def __init__(self, keys: dict[str, set[str]]) -> None:
        self._keys = keys

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        text = " ".join(key.export_public_key("openssh").decode().split()[:2])
        return text in self._keys.get(username, set())


class Doors:
    """One server for each virtual machine that runs, on a loopback port of its own."""

    def __init__(self) -> None:
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._servers: dict[str, asyncssh.SSHAcceptor] = {}

    async def open(self, machine_id: str, cloud_init: dict[str, Any]) -> int:
        """The port at which it is entered: the same for as long as it runs."""
        if machine_id not in self._servers:
            keys = keys_of(cloud_init)
            self._servers[machine_id] = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_factory=lambda: _Door(keys),
                server_host_keys=[self._host_key],
                process_factory=_run,
                login_timeout=10,
            )
        return int(self._servers[machine_id].get_port())

    def close(self, *machine_ids: str) -> None:
        for machine_id in machine_ids or tuple(self._servers):
            server = self._servers.pop(machine_id, None)
            if server is not None:
                server.close()


def _run(process: "asyncssh.SSHServerProcess[str]") -> None:
    words: Sequence[str] = shlex.split(process.command or "")
    if words and words[0] == "echo":
        process.stdout.write(" ".join(words[1:]) + "\n")
        process.exit(0)
    else:
        process.stderr.write("not pretended here\n")
        process.exit(127)
