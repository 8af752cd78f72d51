"""The verbs of the sandbox, as plain blocking code: what exists, and how it comes, stops and goes.

What exists is always read from the directories and the host's processes. Memory holds only what this
process is doing right now.
"""

import contextlib
import os
import time
from pathlib import Path

import asyncssh
import structlog

from berth.base import ids
from berth.core.driver import (
    CreateOrder,
    DriverError,
    Label,
    Listing,
    NoCapacity,
    Power,
    ProviderOffer,
    Refused,
    Sighting,
    Unreachable,
)
from berth.drivers.sandbox import gpus, layout, limits, process, records, trees
from berth.drivers.sandbox.activity import Activity
from berth.drivers.sandbox.catalogue import Use
from berth.drivers.sandbox.config import SandboxConfig
from berth.drivers.sandbox.host import examine
from berth.drivers.sandbox.launch import PortTaken, group_name, is_port_free, last_lines, launch, reap
from berth.drivers.sandbox.process import ProcessIdentity
from berth.drivers.sandbox.records import Run, Spec
from berth.drivers.sandbox.stock import Stock
from berth.drivers.sandbox.store import Store
from berth.drivers.sandbox.volumes import Volumes

_log = structlog.get_logger()

_TAKEN_LIMIT_S = 3.0
_POLL_S = 0.02


class Instances:
    def __init__(self, config: SandboxConfig, store: Store, volumes: Volumes) -> None:
        self._config = config
        self._store = store
        self._shelf = store.instances
        self._volumes = volumes
        self.host = examine(self._store)
        self._stock = Stock(config, self._store)
        self._next_port = config.first_port
        self._activity = Activity()
        self._told: set[str] = set()
        """Failed instances whose last words the operator has."""

    def recover(self) -> None:
        """Finishes what an earlier control plane was killed in the middle of."""
        with self._store.locked():
            self._store.remove_unfinished()
        for instance_id in self._shelf.condemned_ids():
            self.remove_condemned(instance_id)
        known = self._shelf.ids()
        prefix = f"berth-{self._config.install_id}-"
        limits.sweep(self.host.control_groups, prefix, known={prefix + name for name in known})
        for instance_id in known:
            if records.read_run(self._shelf.directory(instance_id)) is None:
                # What cannot be started is seen as failed from now on; the caller decides about it.
                with contextlib.suppress(DriverError):
                    self.start(instance_id)

    def offers(self) -> list[ProviderOffer]:
        return [] if self.host.problem is not None else self._stock.offers()

    def create(self, order: CreateOrder) -> Sighting:
        self._check(order)
        instance_id = order.label.instance_id
        directory = self._shelf.directory(instance_id)
        if not directory.exists():
            with self._stock.claim(instance_id, order.provider_offer_id, Use.of(order.hardware)):
                self._make(order, directory)
                self._begin(instance_id)
        elif records.read_run(directory) is None:
            # Made by a control plane that was killed before it was started, or being started right now.
            self.start(instance_id)
        sighting = self.inspect(order.label.install_id, instance_id)
        if sighting is None:
            raise Refused(f"instance {instance_id} was destroyed while it was created")
        return sighting

    def inspect(self, install_id: str, instance_id: str) -> Sighting | None:
        reap()
        if not ids.is_id(instance_id):
            return None
        directory = self._shelf.directory(instance_id)
        spec = records.read_spec(directory)
        if spec is not None:
            return self._see(spec, directory, None) if spec.install_id == install_id else None
        condemned = records.read_spec(self._shelf.deleting(instance_id))
        if self._shelf.deleting(instance_id).exists():
            if condemned is None or condemned.install_id == install_id:
                return self._see_condemned(instance_id)
            return None
        orphan = process.scan(install_id).get(instance_id)
        return None if orphan is None else self._see_orphan(install_id, instance_id)

    def list_own(self, install_id: str) -> Listing:
        reap()
        found = process.scan(install_id)
        living = set(found)
        sightings = []
        for instance_id in self._shelf.ids():
            directory = self._shelf.directory(instance_id)
            spec = records.read_spec(directory)
            if spec is None or spec.install_id == install_id:
                found.pop(instance_id, None)
            if spec is not None and spec.install_id == install_id:
                sightings.append(self._see(spec, directory, living))
        for instance_id in self._shelf.condemned_ids():
            found.pop(instance_id, None)
            if install_id == self._config.install_id:
                sightings.append(self._see_condemned(instance_id))
        sightings += [self._see_orphan(install_id, instance_id) for instance_id in sorted(found)]
        return Listing(sightings=tuple(sightings), is_complete=True)

    def start(self, instance_id: str) -> None:
        self._require_known(instance_id)
        with self._store.instance_locked(instance_id) as exists:
            spec = records.read_spec(self._shelf.directory(instance_id)) if exists else None
            if spec is None:
                raise _unknown(instance_id)
            self._start(spec)

    def stop(self, instance_id: str, *, keeps_hardware: bool = False) -> None:
        self._require_known(instance_id)
        with self._store.instance_locked(instance_id) as exists:
            spec = records.read_spec(self._shelf.directory(instance_id)) if exists else None
            if spec is None:
                raise _unknown(instance_id)
            self._stop(spec, keeps_hardware=keeps_hardware)

    def restart(self, instance_id: str) -> None:
        self._require_known(instance_id)
        with self._store.instance_locked(instance_id) as exists:
            spec = records.read_spec(self._shelf.directory(instance_id)) if exists else None
            if spec is None:
                raise _unknown(instance_id)
            self._stop(spec)
            self._start(spec)

    def condemn(self, instance_id: str, *, keep_disk: bool = False) -> None:
        """Ends the instance for good, with `keep_disk` but for its boot disk, which is a volume when this returns.

        Its files are then `remove_condemned`'s. Safe to repeat.
        """
        if not ids.is_id(instance_id):
            return
        with self._store.instance_locked(instance_id) as exists:
            if exists:
                if self._shelf.deleting(instance_id).exists():
                    self.remove_condemned(instance_id)
                self._decide(instance_id, keeps_disk=keep_disk)
                self._shelf.directory(instance_id).rename(self._shelf.deleting(instance_id))
            self._end_condemned(instance_id)

    def remove_condemned(self, instance_id: str) -> None:
        if self._shelf.deleting(instance_id).exists():
            self._end_condemned(instance_id)
            self._shelf.remove_condemned(instance_id)
        self._told.discard(instance_id)

    def _check(self, order: CreateOrder) -> None:
        if self.host.problem is not None:
            raise Refused(self.host.problem, reason="This host cannot start instances.")
        if order.label.install_id != self._config.install_id or not ids.is_id(order.label.instance_id):
            raise Refused(f"not a label of this installation: {order.label}")
        if self._shelf.deleting(order.label.instance_id).exists():
            raise Refused(f"instance {order.label.instance_id} is being destroyed")

    def _make(self, order: CreateOrder, directory: Path) -> None:
        """Puts the instance's directory in place, in one step."""
        key = asyncssh.generate_private_key("ssh-ed25519", comment=records.host_label(order.hostname))
        with self._store.locked():
            if directory.exists():
                return
            spec = Spec.from_order(order, port=self._free_port(), host_key_fingerprint=key.get_fingerprint())
            self._volumes.check(spec, order.mounts)
            self._volumes.check_disk(spec)
            creating = self._shelf.creating(order.label.instance_id)
            trees.remove_tree(creating)
            try:
                creating.mkdir(mode=0o700)
                self._build(creating, spec)
                records.replace_file(creating / "agent" / "host_key", key.export_private_key())
                layout.write_keys(creating, order.ssh_public_keys)
                if order.startup_script is not None:
                    script = order.startup_script.encode()
                    records.replace_file(creating / "agent" / "startup.sh", script, mode=0o700)
                records.write_mounts(creating, order.mounts)
                records.write_spec(creating, spec)
                creating.rename(directory)
            except BaseException:
                trees.remove_tree(creating)
                raise

    def _build(self, creating: Path, spec: Spec) -> None:
        if spec.boots_from is not None:
            layout.build_agent(creating)
            layout.rename_host(self._volumes.directory(spec.boots_from), spec.hostname)
            return
        layout.build(creating, spec, layout=self.host.layout, has_network=self._config.network == "host")

    def _begin(self, instance_id: str) -> None:
        """The first start. What cannot be started was not created, and what it was to boot from is as before."""
        try:
            self.start(instance_id)
        except (DriverError, OSError):
            spec = records.read_spec(self._shelf.directory(instance_id))
            self.condemn(instance_id, keep_disk=spec is not None and spec.boots_from is not None)
            self.remove_condemned(instance_id)
            raise

    def _start(self, spec: Spec) -> None:
        directory = self._shelf.directory(spec.instance_id)
        if self._has_begun(spec, directory):
            return
        self._told.discard(spec.instance_id)
        previous = records.read_run(directory)
        claim = self._stock.claim(spec.instance_id, spec.provider_offer_id, Use.of(spec))
        with claim, self._stock.grant(spec) as cards:
            environment = dict(spec.environment)
            if cards:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(card.uuid for card in cards)
            limit = limits.process_limit(spec.vcpu_count) if self.host.keeps_process_limit else None
            layout.write_agent_settings(directory, self.host.runtime, environment, process_limit=limit)
            try:
                self._launch(spec, directory, gpus.nodes(cards) if cards else [])
            except BaseException:
                if previous is not None:
                    with contextlib.suppress(OSError):
                        records.write_run(directory, previous)
                raise

    def _launch(self, spec: Spec, directory: Path, devices: list[str]) -> None:
        deadline = time.monotonic() + _TAKEN_LIMIT_S
        while True:
            try:
                launch(
                    self.host,
                    directory,
                    directory if spec.boots_from is None else self._volumes.directory(spec.boots_from),
                    spec,
                    listen_host=self._config.listen_host,
                    has_network=self._config.network == "host",
                    devices=devices,
                    volumes=self._volumes.binds(spec),
                )
            except PortTaken:
                # Perhaps by this very instance, whose control plane was killed while it came up.
                if self._has_begun(spec, directory):
                    return
                if time.monotonic() > deadline:
                    reason = "The instance's port is in use on its host."
                    raise Unreachable(f"port {spec.port} is in use", reason=reason) from None
                time.sleep(_POLL_S)
            else:
                return

    def _stop(self, spec: Spec, *, keeps_hardware: bool = False) -> None:
        directory = self._shelf.directory(spec.instance_id)
        run = self._adopt(spec, directory) or records.read_run(directory)
        if run is None:
            run = Run(boot_id="", pid=0, start_ticks=0, outer_pid=0, port=spec.port)
        records.write_run(directory, _stopped(run, keeps_hardware=keeps_hardware))
        if not process.end(run.identity, grace_s=self._config.stop_grace_s):
            raise Unreachable(f"process {run.pid} did not end", reason="The instance is still stopping.")
        self._bury(run.outer_pid, group_name(spec))

    def _end_condemned(self, instance_id: str) -> None:
        run = records.read_run(self._shelf.deleting(instance_id))
        if run is not None:
            process.end(run.identity, grace_s=0)
        install_id = self._config.install_id
        found = process.scan(install_id).get(instance_id)
        if found is not None and not process.end(found.identity, grace_s=0):
            raise Unreachable(f"process {found.identity.pid} did not end")
        self._bury(run.outer_pid if run is not None else None, f"berth-{install_id}-{instance_id}")
        self._settle_disk(self._shelf.deleting(instance_id))

    def _decide(self, instance_id: str, *, keeps_disk: bool) -> None:
        directory = self._shelf.directory(instance_id)
        spec = records.read_spec(directory)
        if keeps_disk and (spec is None or spec.disk_id is None):
            reason = "The boot disk cannot be kept: the deployment is older than that."
            raise Refused(f"instance {instance_id} was made without a name for its disk", reason=reason)
        records.write_decision(directory, keeps_disk=keeps_disk)

    def _settle_disk(self, condemned: Path) -> None:
        """Does with the boot disk of what has ended as was decided before."""
        spec, decision = records.read_spec(condemned), records.read_decision(condemned)
        # Others may be removing these files already: then the disk has been seen to.
        if spec is None or decision is None:
            return
        if decision.keeps_disk:
            if spec.boots_from is None:
                self._volumes.adopt(spec, condemned)
        elif spec.boots_from is not None:
            self._volumes.condemn(spec.boots_from)
            self._volumes.remove_condemned(spec.boots_from)

    def _bury(self, outer_pid: int | None, group: str) -> None:
        reap(expected_pid=outer_pid)
        limits.leave(self.host.control_groups, group)

    def _has_begun(self, spec: Spec, directory: Path) -> bool:
        """Whether it is up, or coming up. What a control plane started and was killed before it could go on is ended."""
        run = records.read_run(directory)
        if run is None or not process.is_alive(run.identity):
            found = process.scan(spec.install_id).get(spec.instance_id)
            if found is not None and found.is_let_down:
                process.end(found.identity, grace_s=0)
            if found is None or not found.has_begun:
                return False
        return self._adopt(spec, directory) is not None

    def _adopt(self, spec: Spec, directory: Path) -> Run | None:
        """The record of the living process, written anew where it was lost. None when nothing lives."""
        run = records.read_run(directory)
        if run is not None and process.is_alive(run.identity):
            return run
        found = process.scan(spec.install_id).get(spec.instance_id)
        if found is None:
            return None
        run = _run_of(found.identity, found.outer_pid, spec.port)
        records.write_run(directory, run)
        return run

    def _see(self, spec: Spec, directory: Path, living: set[str] | None) -> Sighting:
        """`living` is what a scan has just found; None: scan if it matters."""
        power, reason = self._power(spec, directory, living)
        if power == Power.FAILED:
            self._tell(spec.instance_id, directory)
        return Sighting(
            label=spec.label,
            handle=spec.instance_id,
            power=power,
            ip=self._address(),
            ssh_port=spec.port,
            ssh_user=spec.ssh_user,
            reason=reason,
            ssh_host_key_fingerprint=spec.host_key_fingerprint,
            disk_handle=spec.disk_id,
            use_percent=None if living is None or power != Power.RUNNING else self._use_percent(directory),
        )

    def _use_percent(self, directory: Path) -> int | None:
        run = records.read_run(directory)
        return None if run is None else self._activity.percent(directory.name, run.identity)

    def _tell(self, instance_id: str, directory: Path) -> None:
        """Says once in the operator's log what goes with the instance when it is removed."""
        if instance_id not in self._told:
            self._told.add(instance_id)
            _log.warning(
                "an instance failed on its host", instance_id=instance_id, last_lines=last_lines(directory)
            )

    def _power(self, spec: Spec, directory: Path, living: set[str] | None) -> tuple[Power, str | None]:
        run = records.read_run(directory)
        is_alive = run is not None and process.is_alive(run.identity)
        if not is_alive and (run is None or not run.stop_was_asked):
            is_alive = spec.instance_id in (process.scan(spec.install_id) if living is None else living)
        if is_alive:
            return (Power.STOPPING if run is not None and run.stop_was_asked else Power.RUNNING), None
        if self._stock.is_claimed(spec.instance_id):
            return Power.CREATING, None
        if run is None:
            return Power.FAILED, "The host could not start this instance."
        was_served = os.path.lexists(directory / "agent" / "ready")
        if run.stop_was_asked or run.boot_id != process.boot_id() or was_served:
            return Power.STOPPED, None
        return Power.FAILED, "The instance ended before its SSH server was up."

    def _see_condemned(self, instance_id: str) -> Sighting:
        label = Label(self._config.install_id, instance_id)
        return Sighting(label=label, handle=instance_id, power=Power.DELETING)

    def _see_orphan(self, install_id: str, instance_id: str) -> Sighting:
        label = Label(install_id, instance_id)
        return Sighting(label=label, handle=instance_id, power=Power.RUNNING)

    def _address(self) -> str:
        if self._config.advertise_ip is not None:
            return self._config.advertise_ip
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._config.listen_host, self._config.listen_host)  # noqa: S104

    def _free_port(self) -> int:
        first, count = self._config.first_port, self._config.last_port - self._config.first_port + 1
        specs = (records.read_spec(self._shelf.directory(name)) for name in self._shelf.ids())
        used = {spec.port for spec in specs if spec is not None}
        for step in range(count):
            port = first + (self._next_port - first + step) % count
            if port not in used and is_port_free(self._config.listen_host, port):
                # Round and round: a port that comes back at once would greet old clients with a new host key.
                self._next_port = port + 1
                return port
        raise NoCapacity("every port of the range is taken")

    def _require_known(self, instance_id: str) -> None:
        if not ids.is_id(instance_id):
            raise _unknown(instance_id)


def _unknown(instance_id: str) -> Refused:
    return Refused(f"no instance {instance_id!r}", reason="The instance does not exist on its host any more.")


def _run_of(identity: ProcessIdentity, outer_pid: int, port: int) -> Run:
    return Run(
        boot_id=identity.boot_id,
        pid=identity.pid,
        start_ticks=identity.start_ticks,
        outer_pid=outer_pid,
        port=port,
    )


def _stopped(run: Run, *, keeps_hardware: bool) -> Run:
    return Run(
        boot_id=run.boot_id,
        pid=run.pid,
        start_ticks=run.start_ticks,
        outer_pid=run.outer_pid,
        port=run.port,
        stop_was_asked=True,
        keeps_hardware=keeps_hardware,
    )
