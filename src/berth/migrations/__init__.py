"""The schema, as Alembic revisions: add first, drop a release later, so that replicas can roll."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from berth.base.db import is_postgresql


def upgrade(url: str) -> None:
    """Brings the database at `url` to the newest revision. Safe to run by several processes at once."""
    command.upgrade(_config(url), "head")


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = _sqlalchemy_url(url)
    return config


def _sqlalchemy_url(url: str) -> str:
    if is_postgresql(url):
        return "postgresql+psycopg://" + url.split("://", 1)[1]
    return url
