"""Signatures by Standard Webhooks 1.0: HMAC-SHA-256 over id, timestamp and body with the decoded secret. Pure."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
MESSAGE = "msg_"
"""How the id of a delivery begins where receivers see it."""
_BYTES = 32


def new_secret() -> bytes:
    return secrets.token_bytes(_BYTES)


def shown(secret: bytes) -> str:
    """As its owner keeps it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secret).decode()


def message_id(delivery_id: str) -> str:
    """What a receiver knows a delivery by."""
    return MESSAGE + delivery_id


def signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one `v1,<base64>` for each key, the newest first."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}" for key in keys
    )
