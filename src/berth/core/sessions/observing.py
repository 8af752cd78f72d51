"""The key with which Berth itself enters sessions: one an installation, made when it is first asked for."""

from berth.base import secrets, sshkeys
from berth.base.db import Tx
from berth.core.sessions import store
from berth.core.sessions.model import Observer

_NAME = "sessions"
_ABOUT = "the observer's key"
_COMMENT = "berth-observer"


def observer(tx: Tx, pepper: bytes) -> Observer:
    """Raises `secrets.Unreadable` where the pepper is not the one that it was sealed under."""
    kept = store.find_observer(tx, _NAME)
    if kept is None:
        made = sshkeys.make_ed25519(_COMMENT)
        sealed = secrets.seal(pepper, made.private_pem.encode(), about=_ABOUT)
        kept = store.keep_observer(tx, _NAME, made.public_line, sealed)
    public_line, sealed = kept
    return Observer(public_line, secrets.unseal(pepper, sealed, about=_ABOUT).decode())


def public_line(tx: Tx, pepper: bytes) -> str:
    """The half that is among the authorized keys of sessions."""
    kept = store.find_observer(tx, _NAME)
    return observer(tx, pepper).public_line if kept is None else kept[0]
