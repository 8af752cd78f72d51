"""The waitlist: the routes."""

from berth.faces.face import Listing, Rate, Route
from berth.faces.huddle.waitlist import handlers, wire

ROUTES = (
    Route(
        method="POST",
        path="/deployments/requests",
        handler=handlers.join,
        summary="Wait for a type: to be told when it is free, or to have it deployed",
        scope="waitlist:write",
        body=wire.JoinRequest,
        answer=wire.Entry,
        rate=Rate.WRITE,
        pokes="waitlist",
    ),
    Route(
        method="GET",
        path="/deployments/requests",
        handler=handlers.list_entries,
        summary="Waitlist entries, newest first; without status all that have not ended",
        scope="waitlist:read",
        query=wire.EntriesQuery,
        answer=wire.Entry,
        listing=Listing.PLAIN,
        rate=Rate.LIST,
    ),
    Route(
        method="GET",
        path="/deployments/requests/{id}",
        handler=handlers.get_entry,
        summary="One waitlist entry and its place in line",
        scope="waitlist:read",
        answer=wire.Entry,
    ),
    Route(
        method="PUT",
        path="/deployments/requests/{id}",
        handler=handlers.change_entry,
        summary="Change what is waited for; the place is kept unless the type or location changes",
        scope="waitlist:write",
        body=wire.ChangeRequest,
        answer=wire.Entry,
        rate=Rate.WRITE,
        pokes="waitlist",
    ),
    Route(
        method="DELETE",
        path="/deployments/requests/{id}",
        handler=handlers.cancel_entry,
        summary="Stop waiting",
        scope="waitlist:write",
        answer=wire.Entry,
        rate=Rate.WRITE,
        pokes="waitlist",
    ),
)
