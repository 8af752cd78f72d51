"""Money: the routes."""

from berth.faces.face import Route
from berth.faces.huddle.billing import handlers, wire

ROUTES = (
    Route(
        method="GET",
        path="/billing/balance",
        handler=handlers.get_balance,
        summary="What is left, live to the second",
        scope="billing:read",
        answer=wire.Balance,
    ),
    Route(
        method="GET",
        path="/deployments/{id}/billing",
        handler=handlers.get_deployment_bill,
        summary="What one deployment cost, row by row",
        scope="billing:read",
        answer=wire.DeploymentBill,
    ),
)
