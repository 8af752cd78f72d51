"""Long terms: which one an order asks for, what becomes of it at its end, and what leaving early costs."""

from collections.abc import Sequence
from dataclasses import replace

from berth.base.clock import Instant
from berth.base.db import Tx
from berth.base.money import Micros
from berth.core import billing, events
from berth.core.billing import Period, Rules, Unit
from berth.core.errors import Invalid
from berth.core.instances import states, store
from berth.core.instances.announcing import announce
from berth.core.instances.model import Contract, Extension, Instance, OrderSpec, Term

_ACTOR = "loop:reservations"
_TERMS_AT_ONCE = 1000
"""More than any loop that is alive leaves behind."""


def contract_of(spec: OrderSpec) -> Contract:
    if spec.is_spot:
        return Contract.SPOT
    return Contract.PAY_AS_YOU_GO if spec.contract is None else spec.contract


def is_spot(spec: OrderSpec) -> bool:
    """Either member alone says it."""
    return contract_of(spec) is Contract.SPOT


def check(spec: OrderSpec) -> None:
    """Raises Invalid for members that contradict each other."""
    if spec.is_spot and spec.contract is Contract.LONG_TERM:
        raise _invalid("contract", "a spot instance is bound to no term.")
    if spec.long_term_period is not None and contract_of(spec) is not Contract.LONG_TERM:
        raise _invalid("long_term_period", "goes with a long-term contract only.")


def pick(spec: OrderSpec, rules: Rules) -> Period | None:
    """The period that a long-term order is for. Raises Invalid when there is none such."""
    if contract_of(spec) is not Contract.LONG_TERM:
        return None
    return pick_period(rules.periods, spec.long_term_period)


def pick_period(periods: Sequence[Period], code: str | None) -> Period:
    """The enabled period of that code, or the shortest enabled one. Raises Invalid when there is none such."""
    enabled = [period for period in periods if period.is_enabled]
    if not enabled:
        raise _invalid("contract", "no long terms are sold.")
    if code is None:
        return min(enabled, key=lambda period: billing.ends_at(Instant(0), period.unit, period.unit_value))
    for period in enabled:
        if period.code == code:
            return period
    codes = ", ".join(period.code for period in enabled)
    raise _invalid("long_term_period", f"unknown period {code!r}; there are {codes}.")


def begin(tx: Tx, instance: Instance, period: Period, extension: Extension, list_price: Micros) -> None:
    """The first term begins with the order."""
    store.insert_term(
        tx,
        Term(
            instance.id,
            period.code,
            period.name,
            period.unit.value,
            period.unit_value,
            period.discount_percentage,
            extension,
            list_price,
            tx.now,
            1,
            tx.now,
            billing.ends_at(tx.now, period.unit, period.unit_value),
        ),
    )


def term(tx: Tx, instance: Instance) -> Term | None:
    """What it is bound to now; None when it is not."""
    return store.find_term(tx, instance.id) if instance.contract is Contract.LONG_TERM else None


def carry_on(tx: Tx, instance: Instance, kept: Term) -> Instance:
    """What follows when its term has ended, once: a new term, or the list price from that very second on.

    Where the instance is to end with its term nothing follows. The caller has locked the instance's row.
    """
    if kept.ends_at > tx.now or kept.extension is Extension.END_CONTRACT:
        return instance
    if kept.extension is Extension.AUTO_RENEW:
        number = kept.number + 1
        ends_at = billing.ends_at(kept.ordered_at, Unit(kept.unit_name), kept.unit_value, terms=number)
        store.renew_term(tx, instance.id, number=number, started_at=kept.ends_at, ends_at=ends_at)
        return _told(tx, instance, "instance.term_renewed")
    billing.reprice(tx, instance.project, instance.id, kept.list_price, kept.ends_at)
    store.plan_term(tx, instance.id, None)
    changed = replace(instance, price=kept.list_price, contract=Contract.PAY_AS_YOU_GO)
    store.update(tx, instance.id, price_micros_per_hour=changed.price, contract=Contract.PAY_AS_YOU_GO.value)
    return _told(tx, changed, "instance.term_ended")


def catch_up(tx: Tx, instance: Instance) -> Instance:
    """As `carry_on` for every term that has ended and that no loop has looked at yet. What failed has none any more."""
    if instance.status in states.FAILED:
        return instance
    changed = instance
    for _ in range(_TERMS_AT_ONCE):
        kept = term(tx, changed)
        followed = changed if kept is None else carry_on(tx, changed, kept)
        if followed is changed:
            break
        changed = followed
    return changed


def end_early(tx: Tx, instance: Instance) -> None:
    """Its owner has just ended it: what was taken off the price since its term began is owed after all.

    `instance` is as it was before. What never ran, failed, or was lost by its provider owes nothing.
    """
    kept = term(tx, instance)
    if kept is None or kept.ends_at <= tx.now:
        return
    if instance.first_running_at is None or instance.status in states.FAILED:
        return
    if instance.missing_since is not None:
        return
    seconds = billing.used_s(tx, instance.id, tx.now) - billing.used_s(tx, instance.id, kept.started_at)
    amount = billing.total(kept.list_price, seconds) - billing.total(instance.price, seconds)
    if amount > 0:
        billing.charge_early_end(
            tx, instance.project, instance.id, Micros(amount), since=kept.started_at, seconds=seconds
        )


def _told(tx: Tx, instance: Instance, event: str) -> Instance:
    changed = replace(instance, sequence=instance.sequence + 1, updated_at=tx.now)
    store.update(tx, instance.id, sequence=changed.sequence, updated_at=tx.now)
    announce(tx, events.system(instance.project, _ACTOR), event, changed)
    return changed


def _invalid(field: str, message: str) -> Invalid:
    return Invalid("invalid_field", f"{field}: {message}", field=field)
