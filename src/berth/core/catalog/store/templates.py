"""Statements of the templates that providers keep."""

from collections.abc import Sequence

from berth.base.clock import Instant
from berth.base.db import Row, Tx
from berth.core.catalog.model import Template
from berth.core.driver import ProviderTemplate

_COLUMNS = (
    "provider, hash_id, number, name, image, tag, env, onstart, runtype, args_str, use_ssh, ssh_direct,"
    " recommended, recommended_disk_gb, extra_filters, creator_id, created_at, count_created"
)
_LIMIT = 10_000


def replace_templates(tx: Tx, provider: str, templates: Sequence[ProviderTemplate]) -> None:
    tx.run("DELETE FROM templates WHERE provider = :provider", provider=provider)
    tx.run_many(
        f"INSERT INTO templates ({_COLUMNS}, place) VALUES (:provider, :hash_id, :number, :name, :image, :tag,"
        " :env, :onstart, :runtype, :args_str, :use_ssh, :ssh_direct, :recommended, :disk_gb, :filters,"
        " :creator_id, :created_at, :count_created, :place)",
        [
            {
                "provider": provider,
                "hash_id": each.hash_id,
                "number": each.id,
                "name": each.name,
                "image": each.image,
                "tag": each.tag,
                "env": each.env,
                "onstart": each.onstart,
                "runtype": each.runtype,
                "args_str": each.args_str,
                "use_ssh": int(each.use_ssh),
                "ssh_direct": int(each.ssh_direct),
                "recommended": int(each.recommended),
                "disk_gb": each.recommended_disk_gb,
                "filters": each.extra_filters,
                "creator_id": each.creator_id,
                "created_at": each.created_at,
                "count_created": each.count_created,
                "place": place,
            }
            for place, each in enumerate(templates)
        ],
    )
    tx.run(
        "INSERT INTO template_refreshes (provider, refreshed_at) VALUES (:provider, :now)"
        " ON CONFLICT (provider) DO UPDATE SET refreshed_at = excluded.refreshed_at",
        provider=provider,
        now=tx.now,
    )


def templates_refreshed_at(tx: Tx, provider: str) -> Instant | None:
    row = tx.one(
        "SELECT refreshed_at FROM template_refreshes WHERE provider = :provider" + tx.for_update,
        provider=provider,
    )
    return None if row is None else Instant(row[0])


def list_templates(tx: Tx, *, provider: str | None) -> list[Template]:
    """By provider, in the order in which each lists its own."""
    condition = "" if provider is None else " WHERE provider = :provider"
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM templates{condition} ORDER BY provider, place LIMIT {_LIMIT}",
        **({} if provider is None else {"provider": provider}),
    )
    return [_template(row) for row in rows]


def find_template(tx: Tx, hash_id: str) -> Template | None:
    row = tx.one(
        f"SELECT {_COLUMNS} FROM templates WHERE hash_id = :hash_id ORDER BY provider LIMIT 1",
        hash_id=hash_id,
    )
    return None if row is None else _template(row)


def _template(row: Row) -> Template:
    made = ProviderTemplate(*row[1:10], *(bool(each) for each in row[10:13]), *row[13:])
    return Template(row[0], made)
