"""Idempotency keys on the wire: how one is written, and what makes two requests the same."""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from berth.core.errors import Invalid
from berth.faces.face.table import Headers

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTES = 2


def key_of(headers: Headers) -> str | None:
    """The Idempotency-Key, bare or in one pair of double quotes, which are not part of it. Raises Invalid."""
    value = headers.get(b"idempotency-key")
    if value is None:
        return None
    text = value.decode("latin-1").strip(" \t")
    if len(text) >= _QUOTES and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not _KEY.fullmatch(text):
        raise Invalid(
            "invalid_field",
            "Idempotency-Key must be 1 to 255 visible ASCII characters.",
            field="Idempotency-Key",
        )
    return text


def fingerprint(
    method: str, path: str, document: dict[str, Any] | None, query: Sequence[tuple[str, str]]
) -> str:
    """SHA-256 over the method, the path below the mount, the body in canonical form and the sorted query."""
    canonical = ""
    if document is not None:
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    lines = [method, path, canonical]
    if query:
        lines.append(urlencode(sorted(query)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
