"""Directories that come and go whole, and the locks under which they change.

A directory is `<id>` once its spec is written, `<id>.creating` before and `<id>.deleting` after: a crash
at any point leaves a name that says what is still to be done.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from berth.base import ids
from berth.drivers.sandbox import trees

LOCK = "lock"
_POLL_S = 0.005
_CREATING = ".creating"
_DELETING = ".deleting"


class Shelf:
    """All that is of one kind. What lies in a directory is its maker's business, but for the file `lock`."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._top.mkdir(parents=True, exist_ok=True, mode=0o700)

    def directory(self, name: str) -> Path:
        return self._top / name

    def creating(self, name: str) -> Path:
        return self._top / (name + _CREATING)

    def deleting(self, name: str) -> Path:
        return self._top / (name + _DELETING)

    def ids(self) -> list[str]:
        return sorted(path.name for path in self._top.iterdir() if ids.is_id(path.name))

    def condemned_ids(self) -> list[str]:
        return self._with_ending(_DELETING)

    def remove_unfinished(self) -> None:
        """Removes what a creation left behind before its spec was in place. Only under the state's lock."""
        for name in self._with_ending(_CREATING):
            trees.remove_tree(self.creating(name))

    def remove_condemned(self, name: str) -> None:
        """Finishes a removal, unless somebody else is at it."""
        directory = self.deleting(name)
        with lock(directory / LOCK, os.O_RDWR, limit_s=0) as held:
            if not held and (directory / LOCK).exists():
                return
            # The lock goes last: without it, two would remove one tree.
            for path in list(directory.iterdir()) if directory.exists() else []:
                if path.is_dir() and not path.is_symlink():
                    trees.remove_tree(path)
                elif path.name != LOCK:
                    path.unlink(missing_ok=True)
            trees.remove_tree(directory)

    def _with_ending(self, ending: str) -> list[str]:
        names = (path.name.removesuffix(ending) for path in self._top.glob(f"*{ending}"))
        return sorted(name for name in names if ids.is_id(name))


@contextlib.contextmanager
def lock(path: Path, flags: int, *, limit_s: float) -> Iterator[bool]:
    """Holds the lock file at `path`. False when it is not to be had, or was renamed away meanwhile."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _flock(descriptor, limit_s) and _is_still(path, descriptor)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
