"""Deployments: the routes."""

from berth.faces.face import Listing, Rate, Route
from berth.faces.huddle.deployments import handlers, wire

ROUTES = (
    Route(
        method="POST",
        path="/deployments/clusters",
        handler=handlers.deploy,
        summary="Deploy",
        scope="deployments:write",
        body=wire.DeployRequest,
        answer=wire.Deployment,
        rate=Rate.DEPLOY,
        pokes="provisioning",
    ),
    Route(
        method="GET",
        path="/deployments",
        handler=handlers.list_deployments,
        summary="Deployments, newest first; without status all but the deleted",
        scope="deployments:read",
        query=wire.DeploymentsQuery,
        answer=wire.Deployment,
        listing=Listing.PAGED,
        rate=Rate.LIST,
    ),
    Route(
        method="GET",
        path="/deployments/{id}",
        handler=handlers.get_deployment,
        summary="One deployment: how it is, how to log in, what it costs",
        scope="deployments:read",
        answer=wire.Deployment,
    ),
    Route(
        method="DELETE",
        path="/deployments/{id}",
        handler=handlers.delete_deployment,
        summary="Delete; the clock stops now",
        scope="deployments:write",
        answer=wire.Deployment,
        rate=Rate.WRITE,
        pokes="provisioning",
    ),
    Route(
        method="POST",
        path="/deployments/{id}/actions",
        handler=handlers.act_on_deployment,
        summary="Start, stop, restart or delete",
        scope="deployments:write",
        body=wire.ActionRequest,
        answer=wire.Deployment,
        rate=Rate.WRITE,
        pokes="provisioning",
    ),
    Route(
        method="GET",
        path="/deployments/{id}/events",
        handler=handlers.list_deployment_events,
        summary="What happened to one deployment, oldest first",
        scope="deployments:read",
        query=wire.EventsQuery,
        answer=wire.Event,
        listing=Listing.PLAIN,
        rate=Rate.LIST,
    ),
)
