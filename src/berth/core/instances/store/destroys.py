"""Statements over how often each provider did not destroy what it was asked to."""

from berth.base.db import Tx


def count_destroy_failure(tx: Tx, provider: str) -> None:
    tx.run(
        "INSERT INTO destroy_failures (provider, count) VALUES (:provider, 1)"
        " ON CONFLICT (provider) DO UPDATE SET count = destroy_failures.count + 1",
        provider=provider,
    )


def destroy_failures(tx: Tx) -> dict[str, int]:
    rows = tx.all("SELECT provider, count FROM destroy_failures ORDER BY provider LIMIT 1000")
    return {row[0]: row[1] for row in rows}
