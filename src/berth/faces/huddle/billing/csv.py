"""Transactions as CSV, for spreadsheets: the same rows and members as in JSON, a page at a time."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from berth.faces.face import Headers, Text

MEDIA_TYPE = "text/csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_wanted(headers: Headers) -> bool:
    """Whether the caller asks for CSV by name and does not rather want JSON."""
    weights: dict[str, float] = {}
    for part in headers.get(b"accept", b"").decode("latin-1").lower().split(","):
        media_type, *parameters = (each.strip() for each in part.split(";"))
        weights[media_type] = _weight(parameters)
    wanted = weights.get(MEDIA_TYPE, 0)
    return wanted > 0 and wanted >= weights.get("application/json", 0)


def page(rows: Sequence[Struct], columns: type[Struct], *, cursor: str | None) -> Text:
    """A header line and a line for each row; where more follow, `X-Next-Cursor` says how to go on."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(columns.__struct_encode_fields__)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in columns.__struct_fields__])
    headers = [] if cursor is None else [(b"x-next-cursor", cursor.encode())]
    return Text(written.getvalue().encode(), b"text/csv; charset=utf-8", headers)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Decimal():
            return f"{value:f}"
        case str() if value.startswith(_FORMULA):
            # A spreadsheet would run a name such as =HYPERLINK(...) as a formula; as text it shows it.
            return f"'{value}"
        case _:
            return str(value)


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0
    return 1
