"""One accepted request for every route of the IaaS API. A route without one fails the tests that visit all."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from berth.core import keys, scripts, tags
from berth.core.tags import Kind
from berth.faces.face import Route
from tests import clustering, make
from tests.faces.conftest import Response
from tests.faces.verda.conftest import Cloud, uuid


@dataclass(frozen=True)
class Sample:
    path: str
    body: Mapping[str, Any] | None = None


Maker = Callable[[Cloud], Awaitable[Sample]]


def at(path: str, body: Mapping[str, Any] | None = None) -> Maker:
    async def make_it(_: Cloud) -> Sample:
        return Sample(path, body)

    return make_it


def key_at(path: str) -> Maker:
    async def make_it(cloud: Cloud) -> Sample:
        key = cloud.db.write_now(
            keys.add_verbatim, cloud.customer.by, name="laptop", public_key=make.public_key()
        )
        return Sample(f"{path}/{uuid(key.id)}")

    return make_it


async def script(cloud: Cloud) -> Sample:
    made = cloud.db.write_now(scripts.add, cloud.customer.by, name="setup", text="#!/bin/sh\n")
    return Sample(f"/scripts/{uuid(made.id)}")


async def deploy(cloud: Cloud) -> Sample:
    return Sample("/instances", await cloud.order())


async def instance(cloud: Cloud) -> Sample:
    return Sample(f"/instances/{uuid(cloud.instance().id)}")


def act_at(path: str) -> Maker:
    async def make_it(cloud: Cloud) -> Sample:
        return Sample(path, {"action": "shutdown", "id": [uuid(cloud.instance().id)]})

    return make_it


async def volume(cloud: Cloud) -> Sample:
    return Sample(f"/volumes/{uuid(cloud.volume().id)}")


async def act_on_volume(cloud: Cloud) -> Sample:
    return Sample("/volumes", {"action": "rename", "id": uuid(cloud.volume().id), "name": "other"})


def _cluster(cloud: Cloud) -> str:
    """The core id of a cluster, with something to make it of."""
    clustering.shop(cloud.db)
    return clustering.ordered(cloud.db, cloud.customer.by).id


async def deploy_cluster(cloud: Cloud) -> Sample:
    clustering.shop(cloud.db)
    body = await cloud.order(
        instance_type=None, image=clustering.IMAGE, location_code="FIN-03", cluster_type=clustering.NAME
    )
    return Sample("/clusters", body | {"shared_volume": {"name": "team", "size": 100}})


async def act_on_cluster(cloud: Cloud) -> Sample:
    action = {"id": uuid(_cluster(cloud)), "action": "discontinue"}
    return Sample("/clusters", {"actions": [action]})


async def cluster(cloud: Cloud) -> Sample:
    return Sample(f"/clusters/{uuid(_cluster(cloud))}")


def _thing(cloud: Cloud, kind: Kind) -> str:
    match kind:
        case Kind.INSTANCE:
            return cloud.instance().id
        case Kind.VOLUME:
            return cloud.volume().id
        case Kind.CLUSTER:
            return _cluster(cloud)


def tagged(path: str, kind: Kind) -> Maker:
    async def make_it(cloud: Cloud) -> Sample:
        subject = _thing(cloud, kind)
        cloud.db.write_now(tags.add, cloud.customer.by, kind, subject, "team", "blue")
        return Sample(f"{path}/{uuid(subject)}/tags/team")

    return make_it


def to_tag(path: str, kind: Kind) -> Maker:
    async def make_it(cloud: Cloud) -> Sample:
        subject = _thing(cloud, kind)
        return Sample(f"{path}/{uuid(subject)}/tags", {"key": "team", "value": "blue"})

    return make_it


async def token(cloud: Cloud) -> Sample:
    customer = cloud.customer
    return Sample(
        "/oauth2/token",
        {
            "grant_type": "client_credentials",
            "client_id": customer.client_id,
            "client_secret": customer.client_secret,
        },
    )


SAMPLES: Mapping[tuple[str, str], Maker] = {
    ("POST", "/oauth2/token"): token,
    ("GET", "/balance"): at("/balance"),
    ("GET", "/locations"): at("/locations"),
    ("GET", "/instance-types"): at("/instance-types"),
    ("GET", "/instance-types/price-history"): at("/instance-types/price-history"),
    ("GET", "/instance-types/{instance_type}"): at(f"/instance-types/{make.H100}"),
    ("GET", "/instances/types"): at("/instances/types"),
    ("GET", "/images"): at("/images"),
    ("GET", "/images/cluster"): at("/images/cluster"),
    ("GET", "/volume-types"): at("/volume-types"),
    ("GET", "/container-types"): at("/container-types"),
    ("GET", "/instance-availability"): at("/instance-availability"),
    ("GET", "/instance-availability/{instance_type}"): at(f"/instance-availability/{make.H100}"),
    ("GET", "/instances/availability/{instance_type}"): at(f"/instances/availability/{make.H100}"),
    ("GET", "/long-term/periods"): at("/long-term/periods"),
    ("GET", "/long-term/periods/instances"): at("/long-term/periods/instances"),
    ("GET", "/long-term/periods/clusters"): at("/long-term/periods/clusters"),
    ("GET", "/sshkeys"): at("/sshkeys"),
    ("POST", "/sshkeys"): at("/sshkeys", {"name": "k", "key": make.public_key()}),
    ("DELETE", "/sshkeys"): at("/sshkeys", {"keys": []}),
    ("GET", "/sshkeys/{id}"): key_at("/sshkeys"),
    ("DELETE", "/sshkeys/{id}"): key_at("/sshkeys"),
    ("GET", "/ssh-keys"): at("/ssh-keys"),
    ("POST", "/ssh-keys"): at("/ssh-keys", {"name": "k", "key": make.public_key()}),
    ("DELETE", "/ssh-keys"): at("/ssh-keys", {"keys": []}),
    ("GET", "/ssh-keys/{id}"): key_at("/ssh-keys"),
    ("DELETE", "/ssh-keys/{id}"): key_at("/ssh-keys"),
    ("GET", "/scripts"): at("/scripts"),
    ("POST", "/scripts"): at("/scripts", {"name": "setup", "script": "#!/bin/sh\n"}),
    ("DELETE", "/scripts"): at("/scripts", {"scripts": []}),
    ("GET", "/scripts/{id}"): script,
    ("DELETE", "/scripts/{id}"): script,
    ("GET", "/instances"): at("/instances"),
    ("POST", "/instances"): deploy,
    ("PUT", "/instances"): act_at("/instances"),
    ("POST", "/instances/action"): act_at("/instances/action"),
    ("GET", "/instances/{id}"): instance,
    ("GET", "/volumes"): at("/volumes"),
    ("POST", "/volumes"): at(
        "/volumes", {"type": "NVMe", "name": "data", "size": 50, "location_code": "FIN-01"}
    ),
    ("PUT", "/volumes"): act_on_volume,
    ("GET", "/volumes/trash"): at("/volumes/trash"),
    ("GET", "/volumes/{id}"): volume,
    ("DELETE", "/volumes/{id}"): volume,
    ("GET", "/cluster-types"): at("/cluster-types"),
    ("GET", "/cluster-availability"): at("/cluster-availability"),
    ("GET", "/cluster-availability/{cluster_type}"): at("/cluster-availability/16B200"),
    ("GET", "/clusters"): at("/clusters"),
    ("POST", "/clusters"): deploy_cluster,
    ("PUT", "/clusters"): act_on_cluster,
    ("GET", "/clusters/{id}"): cluster,
    ("POST", "/clusters/{id}/tags"): to_tag("/clusters", Kind.CLUSTER),
    ("DELETE", "/clusters/{id}/tags/{key}"): tagged("/clusters", Kind.CLUSTER),
    ("POST", "/instances/{id}/tags"): to_tag("/instances", Kind.INSTANCE),
    ("DELETE", "/instances/{id}/tags/{key}"): tagged("/instances", Kind.INSTANCE),
    ("POST", "/volumes/{id}/tags"): to_tag("/volumes", Kind.VOLUME),
    ("DELETE", "/volumes/{id}/tags/{key}"): tagged("/volumes", Kind.VOLUME),
}


async def visit(cloud: Cloud, route: Route, *, key: str | None, sample: Sample | None = None) -> Response:
    """Sends the route's sample with `key`."""
    sample = sample or await SAMPLES[route.method, route.path](cloud)
    return await cloud.client.with_key(key).call(route.method, sample.path, body=sample.body)


def name_of(route: Route) -> str:
    """For the names of parametrised tests."""
    return f"{route.method} {route.path}"
