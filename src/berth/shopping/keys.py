"""Private keys of sessions: each is told once, so it is on the disk before anything else happens, for its owner alone."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from berth.shopping.calls import Failed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keys:
    """What is kept in one directory."""

    directory: Path

    def path(self, session_id: str) -> Path:
        """Where the key of a session is, or would be. Raises Failed for what is no id of one."""
        if not _NAME.fullmatch(session_id):
            raise Failed(f"{session_id!r} is no id of a session: it looks like sess-abc123")
        return self.directory / session_id

    @contextmanager
    def reserve(self) -> Iterator["Reserved"]:
        """A place for a key that is about to be told. Raises Failed where there is none, which is the time to know."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            number, name = tempfile.mkstemp(dir=self.directory, prefix=".new-")
        except OSError as error:
            raise Failed(f"{self.directory}: no key could be kept there ({error.strerror})") from error
        place = Reserved(self, Path(name), number)
        try:
            yield place
        finally:
            place.give_up()


class Reserved:
    """A file that its owner alone may read, still without a name of its own."""

    def __init__(self, keys: Keys, path: Path, number: int) -> None:
        self._keys = keys
        self._path = path
        self._file = os.fdopen(number, "w", encoding="ascii")

    def keep(self, session_id: str, private_key: str) -> Path:
        path = self._keys.path(session_id)
        try:
            self._file.write(private_key if private_key.endswith("\n") else f"{private_key}\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.replace(path)
        except (OSError, UnicodeError) as error:
            raise Failed(
                f"the key of {session_id} could not be kept ({error}), and is told only once: end it with"
                f" `berth done {session_id}`"
            ) from error
        return path

    def give_up(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
