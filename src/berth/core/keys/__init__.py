"""SSH keys: what a customer may log in with."""

from berth.core.keys.model import SshKey
from berth.core.keys.parsing import Parsed, parse, parse_loosely, weakness
from berth.core.keys.service import add, add_verbatim, get, list_keys, remove, remove_many, take

__all__ = [
    "Parsed",
    "SshKey",
    "add",
    "add_verbatim",
    "get",
    "list_keys",
    "parse",
    "parse_loosely",
    "remove",
    "remove_many",
    "take",
    "weakness",
]
