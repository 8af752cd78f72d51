"""Work in directories that an instance wrote: no symbolic link in them is followed, no mode stands in the way.

Their instance is down. Its files were made by somebody who may want ours: a path through them is gone
part by part, each opened from the one before.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath

_ENTERED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_USABLE = 0o700


def make_directory(top: Path, inside: PurePosixPath) -> None:
    """Makes every part of `inside`, below `top`, a directory that its owner may use.

    What is there and is none, such as a link, is moved aside: it may be somebody's data.
    """
    with contextlib.ExitStack() as entered:
        descriptor = entered.enter_context(_entered(str(top)))
        for name in inside.parts:
            descriptor = entered.enter_context(_made(name, descriptor))


def remove(path: Path) -> None:
    """Removes whatever is at `path`, if anything. Its directory is ours, or usable."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        remove_tree(path)


def remove_tree(directory: Path) -> None:
    """Removes everything at `directory`, however deep and whatever its modes. Safe to repeat."""
    spare = (f".{secrets.token_hex(8)}.{number}" for number in count())
    # Two may be at it after a crash.
    with contextlib.suppress(FileNotFoundError):
        with _entered(str(directory)) as top:
            while names := _names(top):
                for name in names:
                    if not _is_unlinked(name, top):
                        _remove_directory(name, top, spare)
        directory.rmdir()


def _remove_directory(name: str, top: int, spare: Iterator[str]) -> None:
    with _entered(name, top) as directory:
        for inner in _names(directory):
            if not _is_unlinked(inner, directory):
                # Moving it changes its "..", for which it must be writable.
                with _entered(inner, directory):
                    # Up to the top, and its turn comes: going down would end where the stack or a path does.
                    os.rename(inner, next(spare), src_dir_fd=directory, dst_dir_fd=top)
    os.rmdir(name, dir_fd=top)


def _is_unlinked(name: str, directory: int) -> bool:
    """Removes what is no directory; False when it is one."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True


def _names(directory: int) -> list[str]:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.listdir(descriptor)  # noqa: PTH208 - there is no path
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _made(name: str, parent: int) -> Iterator[int]:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    try:
        entered = os.open(name, _ENTERED, dir_fd=parent)
    except NotADirectoryError:
        aside = f"{name[:64]}.moved-{secrets.token_hex(8)}"
        os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
        os.mkdir(name, 0o755, dir_fd=parent)
        entered = os.open(name, _ENTERED, dir_fd=parent)
    try:
        _make_usable(entered)
        yield entered
    finally:
        os.close(entered)


@contextlib.contextmanager
def _entered(name: str, parent: int | None = None) -> Iterator[int]:
    """A descriptor of the directory itself, never of where a link leads."""
    descriptor = os.open(name, _ENTERED, dir_fd=parent)
    try:
        _make_usable(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _make_usable(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode & 0o7777
    if mode & _USABLE != _USABLE:
        # By way of the descriptor: it was opened without rights to what is in it, so `fchmod` refuses it.
        Path(f"/proc/self/fd/{descriptor}").chmod(mode | _USABLE)
