"""Copies of volumes, made behind the answer: a copy counts as whole only once its record says so.

The program that copies inherits the copy's lock: should the control plane be killed, the next one waits for that
program to end and begins anew. Blocks are shared with the source where the file system can.
"""

import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from berth.core.driver import Refused
from berth.drivers.sandbox import layout, records, trees
from berth.drivers.sandbox.volumes import Volumes

LOCK = "copy.lock"
_POLL_S = 0.1
_DISK_PARTS = ("root", "usr.up")
_VOLUME_PARTS = ("content",)
_log = structlog.get_logger()


class Copies:
    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self._is_closing = threading.Event()

    def finish(self, volume_id: str) -> None:
        """Makes the copy whole, unless somebody else is at it. One that cannot be made is condemned."""
        directory = self._volumes.directory(volume_id)
        with _locked(directory / LOCK) as descriptor:
            spec = records.read_volume(directory)
            if descriptor is None or spec is None or spec.copying_from is None:
                return
            try:
                source = self._volumes.source(spec.copying_from)
            except Refused as error:
                self._fail(volume_id, str(error))
                return
            parts = _DISK_PARTS if spec.is_bootable else _VOLUME_PARTS
            for part in parts:
                trees.remove(directory / part)
                if not (source.directory / part).is_dir():
                    continue
                problem = self._copy(source.directory / part, directory / part, descriptor)
                if self._is_closing.is_set() or not directory.exists():
                    return
                if problem is not None:
                    self._fail(volume_id, problem)
                    return
            self._volumes.copied(volume_id)

    def close(self) -> None:
        """Ends what is being copied; the next control plane begins it anew."""
        self._is_closing.set()

    def _copy(self, source: Path, target: Path, descriptor: int) -> str | None:
        """Why it failed; None: it did not, or was told to stop."""
        program = shutil.which("cp", path=layout.PATH)
        if program is None:
            return "there is no program to copy with"
        # Links are copied as links: whoever wrote the source may have made them point at what is ours.
        line = [program, "--archive", "--reflink=auto", "--", str(source), str(target)]
        with subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,
            env={},
            cwd="/",
        ) as copying:
            while True:
                try:
                    code = copying.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    if self._is_closing.is_set() or not target.parent.exists():
                        copying.kill()
                else:
                    return None if code == 0 else f"copying ended with {code}"

    def _fail(self, volume_id: str, problem: str) -> None:
        _log.error("volume_not_copied", volume_id=volume_id, problem=problem)
        self._volumes.condemn(volume_id)


def is_being_copied(directory: Path) -> bool:
    """Whether a program still writes a copy there."""
    if not (directory / LOCK).exists():
        return False
    with _locked(directory / LOCK) as descriptor:
        return descriptor is None


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """A descriptor that holds the lock as long as it, or what inherited it, lives; None when it is not to be had."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
