"""Where everything of this provider lies on disk, and the locks under which it changes.

An instance's lock is taken before the state's, never after.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from berth.core.driver import Unreachable
from berth.drivers.sandbox import trees
from berth.drivers.sandbox.shelf import LOCK, Shelf, lock

LOCK_LIMIT_S = 20.0
_TRIAL = "trial."


class Store:
    def __init__(self, state_dir: Path) -> None:
        # Absolute, because the programs that are started here have another working directory.
        self.state_dir = state_dir.absolute()
        self.instances = Shelf(self.state_dir / "instances")
        self.volumes = Shelf(self.state_dir / "volumes")
        self.state_dir.chmod(0o700)

    def remove_unfinished(self) -> None:
        """Removes what was never finished, and trials. Only under the state's lock."""
        self.instances.remove_unfinished()
        self.volumes.remove_unfinished()
        for directory in self.state_dir.glob(f"{_TRIAL}*"):
            with lock(directory, os.O_RDONLY | os.O_DIRECTORY, limit_s=0) as is_left_behind:
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
                held.enter_context(lock(directory, os.O_RDONLY | os.O_DIRECTORY, limit_s=0))
            yield directory

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """The lock under which directories appear, volumes change hands and capacity is counted."""
        with lock(self.state_dir / LOCK, os.O_RDWR | os.O_CREAT, limit_s=LOCK_LIMIT_S) as held:
            if not held:
                raise Unreachable("the lock of the state directory is not to be had")
            yield

    @contextlib.contextmanager
    def instance_locked(self, instance_id: str) -> Iterator[bool]:
        """The lock under which one instance starts, stops and goes. Yields False when there is none."""
        path = self.instances.directory(instance_id) / LOCK
        if not path.parent.is_dir():
            yield False
            return
        with lock(path, os.O_RDWR | os.O_CREAT, limit_s=LOCK_LIMIT_S) as held:
            if held:
                yield True
                return
            if path.parent.is_dir():
                raise Unreachable(f"instance {instance_id} is busy")
            yield False
