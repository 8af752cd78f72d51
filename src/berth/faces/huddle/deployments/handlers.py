"""Deployments: translate, one verb, translate."""

from berth.base import paging
from berth.base.db import Tx
from berth.base.paging import After
from berth.core import billing, events, idempotency, instances, waitlist
from berth.core.billing import Bill
from berth.core.instances import Action, Instance, Status
from berth.faces.face import Call
from berth.faces.huddle import words
from berth.faces.huddle.deployments import translate, wire
from berth.faces.huddle.envelope import Paged


def deploy(tx: Tx, call: Call) -> wire.Deployment:
    request: wire.DeployRequest = call.body
    spec = translate.order(request)
    made = waitlist.order(tx, call.by, spec, call.context.waiting, call.context.rules)
    if call.key is not None and call.key.startswith(words.MINTED_KEY):
        twin_id = idempotency.twin(tx, call.by, call.fingerprint)
        if twin_id is not None:
            made = instances.suspect_twin(tx, call.by, made, twin_id)
    return translate.deployment(made, instances.abilities(tx, made), instances.reservation(tx, made.id))


def list_deployments(tx: Tx, call: Call) -> Paged:
    query: wire.DeploymentsQuery = call.query
    status = None if query.status is None else Status(query.status)
    listing = f"deployments {query.status}"
    last = words.after(query.cursor, listing)
    page = instances.list_versions(tx, call.by, status=status, after=last, limit=query.limit)
    shown = [translate.known_deployment(version) for version in page.rows]
    if None in shown:
        whole = instances.list_page(tx, call.by, status=status, after=last, limit=query.limit).rows
        shown = [
            known
            or translate.listed_deployment(
                version, made, instances.abilities(tx, made), instances.reservation(tx, made.id)
            )
            for known, version, made in zip(shown, page.rows, whole, strict=True)
        ]
    return Paged(
        shown,
        total=page.total,
        cursor=paging.encode(After(page.rows[-1].created_at, page.rows[-1].id), listing)
        if page.has_more
        else None,
        has_more=page.has_more,
        limit=query.limit,
        is_nestable=True,
    )


def get_deployment(tx: Tx, call: Call) -> wire.Deployment:
    return _whole(tx, instances.get(tx, call.by, words.deployment_id(call.parameters["id"])))


def act_on_deployment(tx: Tx, call: Call) -> wire.Deployment:
    request: wire.ActionRequest = call.body
    action = Action.RESTART if request.action == "reboot" else Action(request.action)
    made = instances.act(
        tx,
        call.by,
        words.deployment_id(call.parameters["id"]),
        action,
        call.context.rules,
        keep_reserved=request.keep_reserved,
        delete_volumes=translate.doomed(request),
    )
    return _with_kept(tx, made) if action in {Action.STOP, Action.DELETE} else _whole(tx, made)


def put_auto_delete(tx: Tx, call: Call) -> wire.Deployment:
    deployment_id = words.deployment_id(call.parameters["id"])
    return _whole(tx, instances.reserve(tx, call.by, deployment_id, translate.auto_delete(call.body)))


def delete_deployment(tx: Tx, call: Call) -> wire.Deployment:
    query: wire.DeleteDeploymentQuery = call.query
    doomed = translate.doomed(call.body, query.delete_volumes)
    deployment_id = words.deployment_id(call.parameters["id"])
    made = instances.delete(tx, call.by, deployment_id, call.context.rules, delete_volumes=doomed)
    return _with_kept(tx, made)


def list_deployment_events(tx: Tx, call: Call) -> list[wire.Event]:
    query: wire.EventsQuery = call.query
    made = instances.get(tx, call.by, words.deployment_id(call.parameters["id"]))
    found = events.list_for(tx, call.by, made.id, after_sequence=query.after, limit=query.limit)
    return [translate.event(happened) for happened in found]


def _whole(tx: Tx, made: Instance) -> wire.Deployment:
    bill: Bill = billing.bill(tx, made.id)
    reservation = instances.reservation(tx, made.id)
    return translate.deployment(made, instances.abilities(tx, made), reservation, bill)


def _with_kept(tx: Tx, made: Instance) -> wire.Deployment:
    """With what goes on costing."""
    shown = _whole(tx, made)
    shown.volumes_kept = [translate.kept(volume) for volume in instances.volumes_kept(tx, made)]
    return shown
