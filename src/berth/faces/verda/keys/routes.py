"""SSH keys, under both of their paths, and startup scripts: the routes."""

from berth.faces.face import Listing, Rate, Route
from berth.faces.verda.envelope import TEXT
from berth.faces.verda.keys import handlers, wire


def _ssh_keys(path: str) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path=path,
            handler=handlers.list_ssh_keys,
            summary="The project's SSH keys, newest first",
            scope="ssh_keys:read",
            answer=wire.SshKey,
            listing=Listing.PLAIN,
        ),
        Route(
            method="POST",
            path=path,
            handler=handlers.add_ssh_key,
            summary="Add an SSH key; the answer is its bare id",
            scope="ssh_keys:write",
            body=wire.SshKeyRequest,
            answer=str,
            status=201,
            media_type=TEXT,
            rate=Rate.WRITE,
        ),
        Route(
            method="DELETE",
            path=path,
            handler=handlers.remove_ssh_keys,
            summary="Delete those of the named SSH keys that there are",
            scope="ssh_keys:write",
            body=wire.SshKeysRequest,
            answer=None,
            rate=Rate.WRITE,
        ),
        Route(
            method="GET",
            path=f"{path}/{{id}}",
            handler=handlers.get_ssh_key,
            summary="One SSH key, in an array",
            scope="ssh_keys:read",
            answer=wire.SshKey,
            listing=Listing.PLAIN,
        ),
        Route(
            method="DELETE",
            path=f"{path}/{{id}}",
            handler=handlers.remove_ssh_key,
            summary="Delete an SSH key",
            scope="ssh_keys:write",
            answer=None,
            rate=Rate.WRITE,
        ),
    )


_PAGE_HEADERS = (
    ("X-Page", "The number of the page"),
    ("X-Page-Size", "How many there are on a page"),
    ("X-Total-Count", "How many there are in all"),
)

ROUTES = (
    *_ssh_keys("/sshkeys"),
    *_ssh_keys("/ssh-keys"),
    Route(
        method="GET",
        path="/scripts",
        handler=handlers.list_scripts,
        summary="The project's startup scripts, newest first; a page of them where one is asked for",
        scope="deployments:read",
        query=wire.ScriptsQuery,
        answer=wire.Script,
        listing=Listing.PLAIN,
        answer_headers=_PAGE_HEADERS,
    ),
    Route(
        method="POST",
        path="/scripts",
        handler=handlers.add_script,
        summary="Add a startup script; the answer is its bare id",
        scope="deployments:write",
        body=wire.ScriptRequest,
        answer=str,
        status=201,
        media_type=TEXT,
        rate=Rate.WRITE,
    ),
    Route(
        method="DELETE",
        path="/scripts",
        handler=handlers.remove_scripts,
        summary="Delete those of the named startup scripts that there are",
        scope="deployments:write",
        body=wire.ScriptsRequest,
        answer=None,
        rate=Rate.WRITE,
    ),
    Route(
        method="GET",
        path="/scripts/{id}",
        handler=handlers.get_script,
        summary="One startup script, in an array",
        scope="deployments:read",
        answer=wire.Script,
        listing=Listing.PLAIN,
    ),
    Route(
        method="DELETE",
        path="/scripts/{id}",
        handler=handlers.remove_script,
        summary="Delete a startup script; instances that ran it stay as they are",
        scope="deployments:write",
        answer=None,
        rate=Rate.WRITE,
    ),
)
