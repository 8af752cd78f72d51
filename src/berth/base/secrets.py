"""Secrets: made from 32 random bytes, kept as a keyed hash, or sealed where they have to be used again.

A slow password hash is not needed: nobody guesses 256 bits. The pepper, which is not in the
database, makes a stolen copy of the database useless for recognising a key or reading what is sealed.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_BYTES = 32
_NONCE_BYTES = 12
_PURPOSE = b"berth: secrets that are used again"


def new_token(prefix: str) -> str:
    """`prefix` followed by 64 lower-case hex digits."""
    return prefix + secrets.token_hex(_BYTES)


def token() -> str:
    """Eight hex digits that no other process has."""
    return secrets.token_hex(4)


def fingerprint(pepper: bytes, secret: str) -> str:
    """What is stored of a secret: HMAC-SHA-256 in hex."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


class Unreadable(Exception):
    """Sealed with another pepper, for something else, or altered."""


def seal(pepper: bytes, secret: bytes, *, about: str) -> str:
    """Encrypts a secret that has to be used again. Only what is opened as `about` the same thing opens."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + _cipher(pepper).encrypt(nonce, secret, about.encode())
    return base64.b64encode(sealed).decode()


def unseal(pepper: bytes, sealed: str, *, about: str) -> bytes:
    """What was sealed. Raises Unreadable."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        return _cipher(pepper).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], about.encode())
    except (ValueError, InvalidTag) as error:
        raise Unreadable(about) from error


@lru_cache(8)
def derived(pepper: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, the same wherever the pepper is the same."""
    return HKDF(SHA256(), length=_BYTES, salt=None, info=purpose.encode()).derive(pepper)


@lru_cache(8)
def _cipher(pepper: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), length=_BYTES, salt=None, info=_PURPOSE).derive(pepper))


def load_or_create(path: Path) -> bytes:
    """The secret kept in `path` (mode 0600), made at first use. Safe when two processes start at once."""
    # As systemd and containers hand it over, it is where nothing can be written.
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
            keep_names(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return path.read_bytes()


def keep_names(directory: Path) -> None:
    """Makes the names in `directory` durable: a pepper lost with the power would lock everybody out."""
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
