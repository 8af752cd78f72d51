"""Offers, sessions and costs as people read them: what was sent is shown as text, never obeyed."""

import json
import shlex
import sys
from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from berth.base.clock import Instant, parse_rfc3339, seconds_between
from berth.shopping.calls import Json, plain

_STATUS_STYLES = {"running": "green", "failed": "red", "stopped": "dim", "stopping": "yellow"}
_WIDEST = 1000
_MINUTE_S, _HOUR_S = 60, 3600


def print_json(found: object) -> None:
    sys.stdout.write(json.dumps(found, default=float) + "\n")


def print_offers(found: Json) -> None:
    rows = objects(found, "offers")
    caption = f"{len(rows)} of {whole(found.get('total'))}"
    table = _table(caption, "GPU", "price", "sure", "reliable", "CUDA", "where", "offer")
    for row in rows:
        table.add_row(
            gpus(row),
            Text(per_hour(row)),
            Text(percent(row.get("availability_confidence"))),
            Text(percent(row.get("reliability"))),
            text(row, "cuda_version"),
            text(row, "location"),
            text(row, "id"),
        )
    _print_whole(table)


def print_sessions(rows: Sequence[Json], now: Instant) -> None:
    table = _table(None, "session", "status", "GPU", "price", "ends", "provider", "login or reason")
    for row in rows:
        status = plain(row.get("status", ""))
        table.add_row(
            text(row, "id"),
            Text(status, style=_STATUS_STYLES.get(status, "")),
            gpus(row),
            Text(per_hour(row)),
            Text(left(row, now)),
            text(row, "provider"),
            Text(plain(row.get("error") or login(row) or row.get("api_endpoint") or "")),
        )
    _print_whole(table)


def print_costs(found: Json) -> None:
    if "session_id" in found:
        Console().print(Text(f"{plain(found['session_id'])} cost {dollars(found.get('total_cost'))}."))
        return
    begin, end = (plain(found.get(member, ""))[:10] for member in ("period_start", "period_end"))
    title = f"From {begin}, before {end}" if begin and end else "Costs"
    table = Table("what", "cost", title=title, title_justify="left")
    for heading, member in (("provider", "by_provider"), ("GPU", "by_gpu_type")):
        parts = found.get(member)
        for name, cost in parts.items() if isinstance(parts, dict) else ():
            table.add_row(Text(f"{heading} {plain(name)}"), Text(dollars(cost)))
    sessions = f"{whole(found.get('session_count'))} sessions, {plain(found.get('hours_used', 0))} hours"
    table.add_row(
        Text(f"all: {sessions}", style="bold"), Text(dollars(found.get("total_cost")), style="bold")
    )
    Console().print(table)


def objects(found: Json, member: str) -> list[Json]:
    rows = found.get(member)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def text(row: Json, member: str) -> Text:
    return Text(plain(row.get(member, "")))


def gpus(row: Json) -> Text:
    if not whole(row.get("gpu_count")):
        return Text("no GPU")
    vram = f", {whole(row['vram_gb'])} GB" if "vram_gb" in row else ""
    return Text(f"{whole(row.get('gpu_count'))} × {plain(row.get('gpu_type', '?'))}{vram}")


def dollars(amount: object) -> str:
    """Exact to the ten-thousandth of a dollar; a question mark for what is no amount."""
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        return "?"
    return f"${f'{amount:.4f}'.removesuffix('00')}"


def per_hour(row: Json) -> str:
    return f"{dollars(row.get('price_per_hour'))}/h"


def percent(share: object) -> str:
    return f"{int(share * 100)}%" if isinstance(share, int | Decimal) else ""


def left(row: Json, now: Instant) -> str:
    """How long it still has, or nothing once it has ended."""
    if row.get("status") in {"stopped", "failed"}:
        return ""
    try:
        seconds = seconds_between(now, parse_rfc3339(str(row.get("expires_at", ""))))
    except ValueError:
        return ""
    return f"in {span(seconds)}" if seconds > 0 else "now"


def span(seconds: int) -> str:
    hours, minutes = divmod(seconds // _MINUTE_S, _HOUR_S // _MINUTE_S)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def login(row: Json) -> str:
    """`user@host:port`, or nothing while that is not known."""
    if not row.get("ssh_host"):
        return ""
    return f"{row.get('ssh_user') or 'root'}@{row['ssh_host']}:{row.get('ssh_port') or 22}"


def _table(caption: str | None, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _print_whole(table: Table) -> None:
    """However narrow the terminal is, prices and ids are not cut: it wraps the lines, ids at their ends first."""
    console = Console()
    needed = Console(width=_WIDEST).measure(table).maximum
    Console(width=max(console.width, needed)).print(table, crop=False)


def ssh_line(arguments: Sequence[str]) -> str:
    return shlex.join(arguments)


def whole(value: object) -> int:
    return value if isinstance(value, int) else 0
