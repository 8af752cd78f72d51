"""Instances: the routes."""

from berth.faces.face import Listing, Rate, Route
from berth.faces.verda.envelope import TEXT
from berth.faces.verda.instances import actions, handlers, wire

_ALREADY_SO = (actions.ALREADY_SO, "The one instance is so already")
_PARTLY = (actions.PARTLY, "Some of several failed: each has its own result")

ROUTES = (
    Route(
        method="GET",
        path="/instances",
        handler=handlers.list_instances,
        summary="Instances, newest first; without status all but the discontinued",
        scope="deployments:read",
        query=wire.InstancesQuery,
        answer=wire.Instance,
        listing=Listing.PLAIN,
        rate=Rate.LIST,
    ),
    Route(
        method="POST",
        path="/instances",
        handler=handlers.deploy,
        summary="Deploy an instance; the answer is its bare id",
        scope="deployments:write",
        body=wire.DeployRequest,
        answer=str,
        status=202,
        media_type=TEXT,
        rate=Rate.WRITE,
        pokes="provisioning",
    ),
    Route(
        method="PUT",
        path="/instances",
        handler=actions.act_on_instances,
        follow=actions.act_on_each,
        summary="Start, shut down or delete one instance or several",
        scope="deployments:write",
        body=wire.InstanceActionRequest,
        answer=wire.InstanceActionResult,
        listing=Listing.PLAIN,
        status=202,
        other_statuses=(_ALREADY_SO, _PARTLY),
        rate=Rate.WRITE,
        pokes="provisioning",
    ),
    Route(
        method="POST",
        path="/instances/action",
        handler=actions.act_on_instances,
        follow=actions.act_on_each,
        summary="As PUT /instances",
        scope="deployments:write",
        body=wire.InstanceActionRequest,
        answer=wire.InstanceActionResult,
        listing=Listing.PLAIN,
        status=202,
        other_statuses=(_ALREADY_SO, _PARTLY),
        rate=Rate.WRITE,
        pokes="provisioning",
        is_deprecated=True,
    ),
    Route(
        method="GET",
        path="/instances/{id}",
        handler=handlers.get_instance,
        summary="One instance, also once it is discontinued",
        scope="deployments:read",
        answer=wire.Instance,
    ),
)
