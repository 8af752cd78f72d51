"""What revisions are written with. Revisions that landed depend on it: what it does must not change."""

import sqlalchemy as sa
from alembic import op

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number that the database counts up itself."""


def text(
    name: str, *, nullable: bool = False, primary_key: bool = False, default: str | None = None
) -> "sa.Column[str]":
    """`default` is written into the rows that exist already."""
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key, server_default=default)


def number(name: str, *, nullable: bool = False, default: int | None = None) -> "sa.Column[int]":
    """A 64 bit integer. `default` is written into the rows that exist already."""
    server_default = None if default is None else str(default)
    return sa.Column(name, sa.BigInteger(), nullable=nullable, server_default=server_default)


def index(
    name: str, table: str, columns: list[str], *, where: str | None = None, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
