"""SSH keys: what a customer may log in with."""

from berth.core.keys.model import SshKey
from berth.core.keys.parsing import Parsed, parse, weakness
from berth.core.keys.service import add, get, list_keys, remove, take

__all__ = ["Parsed", "SshKey", "add", "get", "list_keys", "parse", "remove", "take", "weakness"]
