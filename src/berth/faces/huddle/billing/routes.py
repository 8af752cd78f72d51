"""Money: the routes."""

from berth.faces.face import Listing, Rate, Route
from berth.faces.huddle.billing import csv, handlers, wire

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
    Route(
        method="GET",
        path="/billing/transactions",
        handler=handlers.list_transactions,
        summary="Every row of the ledger, newest first; CSV with Accept: text/csv",
        scope="billing:read",
        answer=wire.Transaction,
        listing=Listing.PAGED,
        query=wire.TransactionsQuery,
        rate=Rate.LIST,
        other_media_types=(csv.MEDIA_TYPE,),
    ),
    Route(
        method="GET",
        path="/billing/transactions/{id}",
        handler=handlers.get_transaction,
        summary="One row of the ledger",
        scope="billing:read",
        answer=wire.Transaction,
    ),
    Route(
        method="GET",
        path="/billing/usage",
        handler=handlers.get_usage,
        summary="What was used and charged in a window, by deployment, volume, time, GPU model or API key",
        scope="billing:read",
        answer=wire.Usage,
        listing=Listing.PAGED,
        query=wire.UsageQuery,
        rate=Rate.LIST,
    ),
    Route(
        method="POST",
        path="/billing/credits",
        handler=handlers.add_credit,
        summary="Add credit to any account, once for each reference (operators)",
        scope="admin",
        answer=wire.Transaction,
        body=wire.CreditRequest,
        rate=Rate.WRITE,
    ),
    Route(
        method="POST",
        path="/billing/estimate",
        handler=handlers.estimate,
        summary="What a deployment and its volumes would cost, and how long the balance would last",
        scope="billing:read",
        answer=wire.Estimate,
        body=wire.EstimateRequest,
        asks=True,
    ),
)
