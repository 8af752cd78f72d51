"""Money: translate, one verb, translate."""

from berth.base.db import Tx
from berth.core import billing, events, instances
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.billing import translate, wire


def get_balance(tx: Tx, call: Call) -> wire.Balance:
    return translate.balance(billing.balance(tx, call.by.project, call.context.rules))


def get_deployment_bill(tx: Tx, call: Call) -> wire.DeploymentBill:
    # The scope of this route is about money: who may see bills need not be allowed to see deployments.
    reader = events.system(call.by.project, call.by.key_id)
    made = instances.get(tx, reader, words.deployment_id(call.parameters["id"]))
    rows = billing.charges(tx, call.by, made.id, limit=translate.CHARGES_SHOWN + 1)
    return translate.deployment_bill(made, billing.bill(tx, made.id), rows)
