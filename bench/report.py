"""The figures: a table on the screen, the same as JSON with every sample, and as Markdown for the README."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.measure import Line, Result

COLUMNS = (
    "",
    "median",
    "lowest – highest",
    "p50 ms",
    "p99 ms",
    "CPU µs",
    "rate /s",
    "against its limit",
    "target",
    "errors",
)


def show(results: Sequence[Result], machine: Mapping[str, str]) -> None:
    console = Console(width=None if Console().is_terminal else 160)
    console.print(" · ".join(f"{name} {text}" for name, text in machine.items()), highlight=False)
    for result in results:
        table = Table(*COLUMNS, title=_title(result), title_justify="left", box=box.SIMPLE_HEAD)
        for column in table.columns[1:8]:
            column.justify = "right"
        for line in result.lines:
            table.add_row(*_cells(line), style=None if line.limit else "dim")
        console.print(table)
        for note in result.notes:
            console.print(f"  {note}", highlight=False)


def markdown(results: Sequence[Result], machine: Mapping[str, str]) -> str:
    parts = ["\n".join(f"- {name}: {text}" for name, text in machine.items())]
    for result in results:
        rows = [COLUMNS, ("---",) + ("---:",) * 7 + ("---",) * 2, *(_cells(line) for line in result.lines)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        notes = "".join(f"\n\n{note}" for note in result.notes)
        parts.append(f"### {_title(result)}\n\n{table}{notes}")
    return "\n\n".join(parts) + "\n"


def save(results: Sequence[Result], machine: Mapping[str, str], directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{machine['date'].replace(' ', '-').replace(':', '')}.json"
    members = {"machine": dict(machine), "results": [dataclasses.asdict(result) for result in results]}
    path.write_text(json.dumps(members, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(results, machine), encoding="utf-8")
    return path


def _title(result: Result) -> str:
    if result.is_noisy:
        return f"{result.title} ({result.rounds} rounds, all of them noisy: not to be quoted)"
    noisy = f", {result.noisy_rounds} more were too noisy" if result.noisy_rounds else ""
    return f"{result.title} ({result.rounds} rounds{noisy})"


def _cells(line: Line) -> tuple[str, ...]:
    values = line.values
    return (
        line.name,
        f"{_number(line.median)} {line.unit}",
        f"{_number(min(values))} – {_number(max(values))}",
        _optional(line.median_of("p50_ms")),
        _optional(line.median_of("p99_ms")),
        _optional(line.median_of("cpu_us")),
        _optional(line.median_of("rate")),
        _share(line),
        line.target,
        str(line.errors),
    )


def _share(line: Line) -> str:
    if line.limit is None:
        return ""
    low, middle, high = min(line.shares), statistics.median(line.shares), max(line.shares)
    if line.unit == "/s":
        return f"{middle:.0%} ({low:.0%} – {high:.0%}) of {line.limit}"
    return f"{middle:.2f}× ({low:.2f} – {high:.2f}) {line.limit}"


def _optional(value: float | None) -> str:
    return "" if value is None else _number(value)


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
