"""What an account's owner is told of its money: an event for each notice, and an e-mail for each turn."""

from collections.abc import Sequence

from berth.base import money
from berth.base.clock import Instant, rfc3339
from berth.base.db import Tx
from berth.core import events, notices
from berth.core.billing.credit import Credit, Means, Notice

ACTOR = "loop:credit"
LOW = "billing.low_balance"


def tell(tx: Tx, account: str, said: Sequence[Notice], credit: Credit, means: Means) -> None:
    """Records every notice and has people written to: once for all thresholds crossed together."""
    kinds = []
    for notice in said:
        events.record(tx, events.system(account, ACTOR), notice.type, subject=account, data=notice.data)
        if notice.type not in kinds:
            kinds.append(notice.type)
    left = f"There are {money.show(means.effective)} left."
    for kind in kinds:
        subject_line, text = _letter(kind, credit)
        notices.send(tx, account, kind, subject_line, f"{text}\n\n{left}\n")


def tell_budget(tx: Tx, account: str, data: dict[str, object], *, stops: bool) -> None:
    """Says that a month's budget is reached."""
    events.record(tx, events.system(account, ACTOR), LOW, subject=account, data=data)
    what = "Everything that runs is being stopped." if stops else "Nothing is stopped."
    text = f"What was spent this month has reached the budget that you set. {what}\n"
    notices.send(tx, account, LOW, "Your budget of this month is reached", text)


def tell_deletion(tx: Tx, account: str, deletes_at: Instant, *, volumes: int, instances: int) -> None:
    """Warns of the end of what is kept. The volumes' own events are for the noun that has them."""
    if volumes + instances == 0:
        return
    text = (
        f"Unless credit is added, {volumes} volumes and {instances} deployments that are off will be deleted at"
        f" {rfc3339(deletes_at)}: the balance is used up. Volumes can be restored for a while after that.\n"
    )
    notices.send(tx, account, "volume.deletion_scheduled", "Your volumes will be deleted", text)


def _letter(kind: str, credit: Credit) -> tuple[str, str]:
    match kind, credit:
        case "billing.depleted", Credit(stops_at=int(stops_at)):
            text = f"Unless credit is added, everything that runs will be stopped at {rfc3339(Instant(stops_at))}."
            return "Your balance is used up", text
        case "billing.suspended", Credit(purges_at=int(purges_at)):
            text = (
                "Everything that ran was stopped. Volumes are kept, and charged. Unless credit is added, they will be"
                f" deleted at {rfc3339(Instant(purges_at))}; you will be told again before that."
            )
            return "Your deployments were stopped", text
        case "billing.restored", _:
            return "Your account has credit again", "Nothing will be stopped or deleted."
        case _:
            text = "Your balance has fallen below what you asked to be told of."
            return "Your balance runs low", text
