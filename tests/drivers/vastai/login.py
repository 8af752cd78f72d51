"""SSH servers of instances that are only pretended: each lets in the keys of its instance, and can echo."""

import shlex
from collections.abc import Callable

import asyncssh

Opens = Callable[[str], bool]
"""Whether a public key, as type and content, opens the instance now; an entry is noted then."""


class _Door(asyncssh.SSHServer):
    def __init__(self, opens: Opens) -> None:
        self._opens = opens

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        text = " ".join(key.export_public_key("openssh").decode().split()[:2])
        return username == "root" and self._opens(text)


def _run(process: "asyncssh.SSHServerProcess[str]") -> None:
    status = 0
    try:
        words = shlex.split(process.command or "")
    except ValueError:
        words = ["?"]
    match words:
        case ["echo", *rest]:
            process.stdout.write(" ".join(rest) + "\n")
        case [] | ["true"]:
            pass
        case _:
            process.stderr.write("not pretended here\n")
            status = 127
    process.exit(status)


class Logins:
    """One server for each instance that runs, on a port of its own."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._servers: dict[int, asyncssh.SSHAcceptor] = {}

    async def open(self, handle: int, opens: Opens) -> int:
        """The port at which the instance is entered."""
        server = await asyncssh.listen(
            self._host,
            0,
            server_factory=lambda: _Door(opens),
            server_host_keys=[self._key],
            process_factory=_run,
            login_timeout=10,
        )
        self._servers[handle] = server
        return int(server.get_port())

    def close(self, handle: int) -> None:
        server = self._servers.pop(handle, None)
        if server is not None:
            server.close()

    def close_all(self) -> None:
        for handle in list(self._servers):
            self.close(handle)
