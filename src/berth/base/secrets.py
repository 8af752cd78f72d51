"""Secrets: made from 32 random bytes, kept only as a keyed hash.

A slow password hash is not needed: nobody guesses 256 bits. The pepper, which is not in the
database, makes a stolen copy of the database useless for recognising a key.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

_BYTES = 32


def new_token(prefix: str) -> str:
    """`prefix` followed by 64 lower-case hex digits."""
    return prefix + secrets.token_hex(_BYTES)


def fingerprint(pepper: bytes, secret: str) -> str:
    """What is stored of a secret: HMAC-SHA-256 in hex."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


def load_or_create(path: Path) -> bytes:
    """The secret kept in `path` (mode 0600), made at first use. Safe when two processes start at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
            _keep(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return path.read_bytes()


def _keep(directory: Path) -> None:
    """Makes the names in `directory` durable: a pepper lost with the power would lock everybody out."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
