"""Tags: a key and a value that a customer puts on a thing, to find it again."""

from berth.core.tags.model import Kind, Tag
from berth.core.tags.service import TAGS_PER_THING, add, check, of_kind, of_thing, remove

__all__ = ["TAGS_PER_THING", "Kind", "Tag", "add", "check", "of_kind", "of_thing", "remove"]
