"""Logging in over SSH to run one command: bounded in time and output, and it says why where it could not.

The host's key is not known before the first login and is not checked: what is run tells nobody anything.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

import asyncssh

MOST_BYTES = 64 * 1024
"""Of a command's output."""


class Outcome(StrEnum):
    DONE = "done"
    """The command ran and exited with 0."""
    FAILED = "failed"
    """Somebody could log in, and the command did not exit with 0, or not in time."""
    REFUSED = "refused"
    """The server let nobody in."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    output: str = ""


class Visitor:
    """Logs in with one key."""

    def __init__(self, private_pem: str) -> None:
        self._key = asyncssh.import_private_key(private_pem)

    async def run(self, ip: str, port: int, user: str, command: str, seconds: float) -> Answer:
        """Whatever happens is an answer."""
        try:
            async with asyncio.timeout(seconds):
                connection = await asyncssh.connect(
                    ip,
                    port,
                    username=user,
                    client_keys=[self._key],
                    known_hosts=None,
                    config=None,
                    agent_path=None,
                    password=None,
                    kbdint_auth=False,
                    preferred_auth="publickey",
                    login_timeout=seconds,
                    connect_timeout=seconds,
                )
        except asyncssh.PermissionDenied:
            return Answer(Outcome.REFUSED)
        except (OSError, TimeoutError, asyncssh.Error):
            return Answer(Outcome.UNREACHABLE)
        try:
            async with asyncio.timeout(seconds):
                return await _run(connection, command)
        except (OSError, TimeoutError, asyncssh.Error):
            return Answer(Outcome.FAILED)
        finally:
            connection.abort()


async def _run(connection: asyncssh.SSHClientConnection, command: str) -> Answer:
    async with connection.create_process(command, stdin=asyncssh.DEVNULL, encoding=None) as process:
        output = b""
        while len(output) <= MOST_BYTES and (part := await process.stdout.read(MOST_BYTES)):
            output += part
        if len(output) > MOST_BYTES:
            process.kill()
            return Answer(Outcome.FAILED)
        completed = await process.wait(check=False)
    text = output.decode(errors="replace")
    return Answer(Outcome.DONE if completed.exit_status == 0 else Outcome.FAILED, text)
