"""Clusters: core's values in this API's words, and back."""

from collections.abc import Collection, Sequence

from berth.base import ids
from berth.base.clock import Instant, after
from berth.core.catalog import ClusterType, InstanceType
from berth.core.clusters import Cluster, ClusterSpec, SharedVolume, View
from berth.core.clusters import Status as Seen
from berth.core.instances import Contract, Extension, Instance, Term
from berth.core.volumes import Volume
from berth.faces.verda import hardware, words
from berth.faces.verda.catalogue.translate import gpu_name_of, in_currency
from berth.faces.verda.clusters import wire
from berth.faces.verda.instances.translate import status_of as instance_status_of
from berth.faces.verda.wire import Currency, Status, Tag

_HOME = "/home"
_STATUSES: dict[Seen, Status] = {
    Seen.PROVISIONING: "provisioning",
    Seen.RUNNING: "running",
    Seen.OFFLINE: "offline",
    Seen.ERROR: "error",
    Seen.NO_CAPACITY: "no_capacity",
    Seen.DELETING: "deleting",
    Seen.DISCONTINUED: "discontinued",
}


def order(request: wire.DeployClusterRequest) -> ClusterSpec:
    """Raises Invalid naming the member."""
    shared, script_id = request.shared_volume, request.startup_script_id
    return ClusterSpec(
        cluster_type=request.cluster_type,
        image=ids.of_uuid(request.image) or request.image,
        hostname=request.hostname,
        location=request.location_code,
        ssh_key_ids=[words.in_body(each, "ssh_key_ids") for each in words.listed(request.ssh_key_ids)],
        shared_volume=SharedVolume(shared.name, words.size_gb(shared.size, "shared_volume.size")),
        description=request.description,
        existing_volumes=[
            words.in_body(each.id, "existing_volumes") for each in request.existing_volumes or ()
        ],
        startup_script_id=words.in_body(script_id, "startup_script_id") if script_id else None,
        contract=Contract((request.contract or "PAY_AS_YOU_GO").lower()),
        long_term_period=request.long_term_period or None,
        extension=_extension(request),
    )


def cluster_type(
    sold: ClusterType,
    worker: InstanceType,
    slugs: Sequence[str],
    currency: Currency,
    eur_per_usd_micros: int,
) -> wire.ClusterType:
    """Its hardware is that of all workers together."""
    count, gpu_name = sold.worker_count, gpu_name_of(worker)
    return wire.ClusterType(
        id=words.named("cluster-type", sold.name),
        model=f"{worker.gpu_model or 'CPU'} Cluster",
        name=gpu_name or worker.description,
        cluster_type=sold.name,
        cpu=hardware.cpu(count * worker.vcpu_count),
        gpu=hardware.gpu(count * worker.gpu_count, gpu_name),
        gpu_memory=hardware.gpu_memory(count * worker.total_vram_gb),
        memory=hardware.memory(count * worker.ram_gb),
        price_per_hour=words.price_text(in_currency(sold.price, currency, eur_per_usd_micros)),
        currency=currency,
        manufacturer=worker.manufacturer,
        node_details=[{name: value} for name, value in sold.details],
        supported_os=list(slugs),
    )


def status_of(cluster: Cluster, now: Instant, shown_provisioning_s: int) -> Status:
    """One client waits to see `provisioning`, and for nothing else: it lasts a while, however soon it runs."""
    if cluster.status is Seen.RUNNING and now < after(cluster.created_at, seconds=shown_provisioning_s):
        return "provisioning"
    return _STATUSES[cluster.status]


def seen_as(wanted: Status) -> Collection[Seen]:
    """The statuses of core that may be shown as `wanted`."""
    found = {seen for seen, shown in _STATUSES.items() if shown == wanted}
    return found | {Seen.RUNNING} if wanted == "provisioning" else found


def cluster(
    view: View, status: Status, term: Term | None, tags: Sequence[Tag], *, now: Instant, shown_s: int
) -> wire.Cluster:
    """`term` is what its workers are bound to; `shown_s` is how long what is new is shown as provisioning."""
    made, is_there = view.cluster, status in {"running", "offline"}
    specs = [worker.specs for worker in view.workers]
    gpu_name = next((f"{each.gpu_model} {each.gpu_vram_gb}GB" for each in specs if each.gpu_model), "")
    return wire.Cluster(
        id=words.shown(made.id),
        ip=view.jump_host.ip if is_there else None,
        ssh_port=view.jump_host.ssh_port if is_there else None,
        ssh_user=view.jump_host.ssh_user,
        status=status,
        created_at=words.time(made.created_at),
        cpu=hardware.cpu(sum(each.vcpu_count for each in specs)),
        gpu=hardware.gpu(sum(each.gpu_count for each in specs), gpu_name),
        gpu_memory=hardware.gpu_memory(sum(each.gpu_count * each.gpu_vram_gb for each in specs)),
        memory=hardware.memory(sum(each.ram_gb for each in specs)),
        hostname=made.hostname,
        description=made.description,
        location=made.location,
        price_per_hour=words.price(view.price),
        cluster_type=made.cluster_type,
        image=ids.to_uuid(made.image) if ids.is_id(made.image) else made.image,
        os_name=made.os_name,
        startup_script_id=None if made.startup_script_id is None else words.shown(made.startup_script_id),
        ssh_key_ids=words.shown_all(made.ssh_key_ids),
        contract="PAY_AS_YOU_GO" if term is None else "LONG_TERM",
        extension_settings=None if term is None else term.extension.value,
        auto_rental_extension=None if term is None else term.extension is Extension.AUTO_RENEW,
        turn_to_pay_as_you_go=None if term is None else term.extension is Extension.PAY_AS_YOU_GO,
        long_term_period=None if term is None else term.period_name,
        worker_nodes=[
            _worker(each, instance_status_of(each, now, shown_s), is_there=is_there) for each in view.workers
        ],
        shared_volumes=[_volume(each, is_home=number == 0) for number, each in enumerate(view.volumes)],
        tags=list(tags),
    )


def _worker(member: Instance, status: Status, *, is_there: bool) -> wire.WorkerNode:
    return wire.WorkerNode(
        id=words.shown(member.id),
        hostname=member.hostname,
        public_ip=member.ip if is_there else None,
        private_ip=(member.private_ip if is_there else None) or "",
        ssh_port=member.ssh_port if is_there else None,
        status=status,
    )


def _volume(volume: Volume, *, is_home: bool) -> wire.ClusterVolume:
    path = volume.attachments[0].path if volume.attachments else f"/mnt/{volume.name}"
    return wire.ClusterVolume(
        id=words.shown(volume.id),
        name=volume.name,
        mount_point=_HOME if is_home else path,
        size_in_gigabytes=volume.size_gb,
    )


def _extension(request: wire.DeployClusterRequest) -> Extension:
    if request.extension_settings is not None:
        return Extension(request.extension_settings)
    if request.turn_to_pay_as_you_go:
        return Extension.PAY_AS_YOU_GO
    if False in (request.auto_rental_extension, request.auto_rent_extension):
        return Extension.END_CONTRACT
    return Extension.AUTO_RENEW
