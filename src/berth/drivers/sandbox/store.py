"""Where instances lie on disk, and the locks under which they change.

A directory is `<id>` once its spec is written, `<id>.creating` before and `<id>.deleting` after: a crash
at any point leaves a name that says what is still to be done.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from berth.base import ids
from berth.core.driver import Unreachable
from berth.drivers.sandbox import trees

LOCK_LIMIT_S = 20.0
_POLL_S = 0.005
_CREATING = ".creating"
_DELETING = ".deleting"
_TRIAL = "trial."
_LOCK = "lock"


class Store:
    def __init__(self, state_dir: Path) -> None:
        # Absolute, because the programs that are started here have another working directory.
        self.state_dir = state_dir.absolute()
        self._instances = self.state_dir / "instances"
        self._instances.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.state_dir.chmod(0o700)

    def directory(self, instance_id: str) -> Path:
        return self._instances / instance_id

    def creating(self, instance_id: str) -> Path:
        return self._instances / (instance_id + _CREATING)

    def deleting(self, instance_id: str) -> Path:
        return self._instances / (instance_id + _DELETING)

    def instance_ids(self) -> list[str]:
        return sorted(path.name for path in self._instances.iterdir() if ids.is_id(path.name))

    def condemned_ids(self) -> list[str]:
        return self._with_ending(_DELETING)

    def remove_unfinished(self) -> None:
        """Removes what a creation left behind before its spec was in place, and trials. Only under the state's lock."""
        for instance_id in self._with_ending(_CREATING):
            trees.remove_tree(self.creating(instance_id))
        for directory in self.state_dir.glob(f"{_TRIAL}*"):
            with _lock(directory, os.O_RDONLY | os.O_DIRECTORY, limit_s=0) as is_left_behind:
                if is_left_behind:
                    trees.remove_tree(directory)

    @contextlib.contextmanager
    def trial(self) -> Iterator[Path]:
        """A directory for a throw-away instance, locked as long as its maker lives."""
        with contextlib.ExitStack() as held:
            # Made and locked in one step, as seen by who removes what was left behind.
            with self.locked():
                directory = Path(tempfile.mkdtemp(dir=self.state_dir, prefix=_TRIAL))
                held.callback(trees.remove_tree, directory)
                held.enter_context(_lock(directory, os.O_RDONLY | os.O_DIRECTORY, limit_s=0))
            yield directory

    def remove_condemned(self, instance_id: str) -> None:
        """Finishes a removal, unless somebody else is at it."""
        directory = self.deleting(instance_id)
        with _lock(directory / _LOCK, os.O_RDWR, limit_s=0) as held:
            if not held and (directory / _LOCK).exists():
                return
            # The lock goes last: without it, two would remove one tree.
            for path in list(directory.iterdir()) if directory.exists() else []:
                if path.is_dir() and not path.is_symlink():
                    trees.remove_tree(path)
                elif path.name != _LOCK:
                    path.unlink(missing_ok=True)
            trees.remove_tree(directory)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The lock under which directories appear and capacity is counted."""
        with _lock(self.state_dir / _LOCK, os.O_RDWR | os.O_CREAT, limit_s=LOCK_LIMIT_S) as held:
            if not held:
                raise Unreachable("the lock of the state directory is not to be had")
            yield

    @contextlib.contextmanager
    def instance_locked(self, instance_id: str) -> Iterator[bool]:
        """The lock under which one instance starts, stops and goes. Yields False when there is none."""
        path = self.directory(instance_id) / _LOCK
        if not path.parent.is_dir():
            yield False
            return
        with _lock(path, os.O_RDWR | os.O_CREAT, limit_s=LOCK_LIMIT_S) as held:
            if held:
                yield True
                return
            if path.parent.is_dir():
                raise Unreachable(f"instance {instance_id} is busy")
            yield False

    def _with_ending(self, ending: str) -> list[str]:
        names = (path.name.removesuffix(ending) for path in self._instances.glob(f"*{ending}"))
        return sorted(name for name in names if ids.is_id(name))


@contextlib.contextmanager
def _lock(path: Path, flags: int, *, limit_s: float) -> Iterator[bool]:
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
