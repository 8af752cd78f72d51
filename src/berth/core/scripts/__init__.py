"""Startup scripts: what a customer has an instance run at its first boot."""

from berth.core.scripts.model import Script
from berth.core.scripts.service import (
    MOST_SCRIPTS,
    SCRIPT_LIMIT,
    SCRIPTS_PER_PROJECT,
    add,
    check,
    get,
    list_page,
    remove,
    remove_many,
    take,
)

__all__ = [
    "MOST_SCRIPTS",
    "SCRIPTS_PER_PROJECT",
    "SCRIPT_LIMIT",
    "Script",
    "add",
    "check",
    "get",
    "list_page",
    "remove",
    "remove_many",
    "take",
]
