"""What an operator's commands share: their options, the database they work on, and how they fail."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from berth import app
from berth.base import money, secrets
from berth.base.db import Database
from berth.settings import Settings

_BAD_USAGE = 2

DataDir = Annotated[Path | None, Parameter(help="Where the database, secrets and sandboxes are kept.")]
DatabaseUrl = Annotated[
    str | None, Parameter(help="postgresql://…; without it, SQLite in the data directory.")
]


@contextlib.contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    database = app.open_database(settings)
    try:
        yield database
    finally:
        database.close()


def pepper_of(settings: Settings) -> bytes:
    return secrets.load_or_create(settings.pepper_path)


def dollars(text: str, *, least: int) -> money.Micros:
    try:
        amount = money.from_usd(text)
    except ValueError as error:
        fail(str(error))
    if amount < least:
        fail(f"not an amount that can be added: {text}")
    return amount


def fail(message: str, *, status: int = _BAD_USAGE) -> NoReturn:
    # As text: what is quoted in it may look like markup.
    Console(stderr=True).print(Text.assemble(("berth:", "red"), " ", message), soft_wrap=True)
    sys.exit(status)
