"""Volumes: the routes."""

from berth.faces.face import Listing, Rate, Route
from berth.faces.verda.envelope import TEXT
from berth.faces.verda.volumes import actions, handlers, wire

_ALREADY_SO = (handlers.ALREADY_SO, "It was deleted before")

ROUTES = (
    Route(
        method="GET",
        path="/volumes",
        handler=handlers.list_volumes,
        summary="Volumes, newest first; without status all but the deleted",
        scope="volumes:read",
        query=wire.VolumesQuery,
        answer=handlers.SHOWN,
        listing=Listing.PLAIN,
        rate=Rate.LIST,
    ),
    Route(
        method="POST",
        path="/volumes",
        handler=handlers.create_volume,
        summary="Create a volume; the answer is its bare id",
        scope="volumes:write",
        body=wire.NewVolumeRequest,
        answer=str,
        status=202,
        media_type=TEXT,
        rate=Rate.WRITE,
        pokes="volumes",
    ),
    Route(
        method="PUT",
        path="/volumes",
        handler=actions.act_on_volumes,
        summary="Attach, detach, rename, resize, clone, delete or restore one volume or several; the answer is empty,"
        " but for a clone: the ids of the copies",
        scope="volumes:write",
        body=wire.VolumeActionRequest,
        answer=str,
        listing=Listing.PLAIN,
        status=202,
        rate=Rate.WRITE,
        pokes="volumes",
    ),
    Route(
        method="GET",
        path="/volumes/trash",
        handler=handlers.list_trash,
        summary="Volumes that were deleted and can be restored",
        scope="volumes:read",
        answer=wire.DeletedVolume,
        listing=Listing.PLAIN,
    ),
    Route(
        method="GET",
        path="/volumes/{id}",
        handler=handlers.get_volume,
        summary="One volume, also once it is deleted",
        scope="volumes:read",
        answer=handlers.SHOWN,
    ),
    Route(
        method="DELETE",
        path="/volumes/{id}",
        handler=handlers.delete_volume,
        summary="Move a volume to the trash, or delete it for good",
        scope="volumes:write",
        body=wire.DeleteVolumeRequest,
        answer=None,
        status=202,
        other_statuses=(_ALREADY_SO,),
        rate=Rate.WRITE,
        pokes="volumes",
    ),
)
