"""Which texts are e-mail addresses, and what of a text may stand in an e-mail."""

import re
import unicodedata

MAX_ADDRESS = 254
MAX_LOCAL_PART = 64
_LOCAL_PART = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"({_LOCAL_PART})@{_LABEL}(?:\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Whether mail can be sent to `text`: plain ASCII, without a name, quotes or comments."""
    if len(text) > MAX_ADDRESS:
        return False
    match = _ADDRESS.fullmatch(text)
    return match is not None and len(match[1]) <= MAX_LOCAL_PART


def one_line(text: str, *, limit: int) -> str:
    """`text` as a single line of at most `limit` characters: what would end a header ends up as a space."""
    return _cut(" ".join("".join(map(_shown, text)).split()), limit)


def lines(text: str, *, limit: int) -> str:
    """`text` with no control characters but its line ends, at most `limit` characters."""
    shown = ("".join(map(_shown, line)).rstrip() for line in text.splitlines())
    return _cut("\n".join(shown), limit)


def _shown(character: str) -> str:
    # Cc ends lines and strings, Cf turns the direction of what follows, Cs cannot be encoded, Z* ends lines too.
    kind = unicodedata.category(character)
    return " " if kind in {"Cc", "Cf", "Cs", "Zl", "Zp"} else character


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
