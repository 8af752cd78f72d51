"""The audit trail as an operator reads it: who did what, when, from where, over all projects."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from berth.base import ids
from berth.base.clock import SECOND, Instant, parse_rfc3339, rfc3339
from berth.base.db import Database
from berth.core import events
from berth.core.events import Event, Search

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_FOLLOW_S = 1.0
_FOLLOWED_AT_ONCE = 1000
_FILE_WIDTH = 400
"""Characters of a line that nobody sees on a screen."""
_ID_PREFIX = re.compile(r"[a-z]{2,3}_(?=[0-9A-Z]{26}$)")


@dataclass(frozen=True, slots=True)
class Trail:
    """A database's events, with the projects' names beside their ids."""

    database: Database
    search: Search
    projects: Mapping[str, str]
    """Name by id."""

    def newest(self, limit: int) -> list[Event]:
        """Newest first, found span by span so that no reader is in the way for long."""
        found: list[Event] = []
        before_seq: int | None = None
        while len(found) < limit:
            look = self.database.read_now(
                events.look, self.search, before_seq=before_seq, limit=limit - len(found)
            )
            found += look.events
            before_seq = look.before_seq
            if before_seq is None:
                break
        return found

    def follow(self, after_seq: int) -> Iterator[Event]:
        """Whatever is recorded from now on, until the reader goes away."""
        while True:
            for event in self.database.read_now(
                events.newer, self.search, after_seq=after_seq, limit=_FOLLOWED_AT_ONCE
            ):
                after_seq = event.seq
                yield event
            time.sleep(_FOLLOW_S)

    def shown(self, event: Event) -> Mapping[str, object]:
        """One event as plain JSON."""
        return {
            "seq": event.seq,
            "id": event.id,
            "at": rfc3339(event.created_at),
            "project": self.projects.get(event.project, event.project),
            "project_id": event.project,
            "actor": event.actor,
            "type": event.type,
            "subject": event.subject,
            "address": event.address,
            "request_id": event.request_id,
            "data": event.data,
        }


def core_id(text: str | None) -> str | None:
    """An id as core has it, of one that may be written as an API shows it, such as `dep_…` or a UUID."""
    return None if text is None else ids.of_uuid(text) or _ID_PREFIX.sub("", text)


def parse_time(text: str | None, now: Instant) -> Instant | None:
    """`2026-04-03T10:00:00Z`, or so long ago as `90m`, `2h`, `7d`. Raises ValueError."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return Instant(now - int(ago[1]) * _UNITS[ago[2]] * SECOND)
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise ValueError(
            f"neither a time such as 2026-04-03T10:00:00Z nor an age such as 2h: {text}"
        ) from None


def print_table(trail: Trail, found: Sequence[Event]) -> None:
    """Oldest first, as one reads."""
    table = Table(box=None)
    for name in ("time", "project", "actor", "event", "subject", "from", "what"):
        table.add_column(name, overflow="fold")  # an id of which a part is missing names nothing
    for event in reversed(found):
        table.add_row(
            rfc3339(event.created_at),
            trail.projects.get(event.project, event.project),
            event.actor,
            event.type,
            event.subject,
            event.address or "",
            _brief(event.data),
        )
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    console.print(table)


def print_line(trail: Trail, event: Event, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(trail.shown(event)), flush=True)
        return
    project = trail.projects.get(event.project, event.project)
    where = f" from {event.address}" if event.address else ""
    what = _brief(event.data)
    line = f"{rfc3339(event.created_at)} {project} {event.actor}{where}: {event.type} {event.subject} {what}"
    print(line.rstrip(), flush=True)


def _brief(data: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in data.items())
