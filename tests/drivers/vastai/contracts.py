"""Instances at the stand-in: what each says of itself, how it moves on when it is looked at, and what it has cost."""

import math
import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

from tests.drivers.vastai.offers import Row, storage_of

US_PER_HOUR = 3_600_000_000
_KEY = re.compile(r"(?:ssh-[a-z0-9]+|ecdsa-[a-z0-9-]+) AAAA[0-9A-Za-z+/=]+")
_PORT = re.compile(r"-p (\d+):(\d+)(?:/tcp)?")


def micros(dollars: object) -> int:
    return int((Decimal(str(dollars)) * 1_000_000).to_integral_value(ROUND_CEILING))


@dataclass
class Contract:
    """One instance, or what is known of it after its end. Times are microseconds since the epoch."""

    handle: int
    offer: Row
    body: dict[str, Any]
    label: str
    disk_gb: float
    is_bid: bool
    created_at: int
    actual: str | None = None
    current: str = "running"
    intended: str = "running"
    following: str = "running"
    status_msg: str | None = None
    looks_to_run: int = 0
    hidden_looks: int = 0
    keeps_listing: int = 0
    log: str = ""
    host_port: int = 0
    ssh_port: int = 0
    attached: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Keys by their ids, with when each is let in."""
    runs_since: int | None = None
    entered_at: int | None = None
    """When somebody logged in first."""
    stretches: list[tuple[int, int]] = field(default_factory=list)
    destroyed_at: int | None = None

    @property
    def is_there(self) -> bool:
        return self.destroyed_at is None

    @property
    def is_entrypoint(self) -> bool:
        return self.body.get("runtype") == "args"

    def keys(self, now: int) -> set[str]:
        """Type and content of every key that opens it: those its start writes, and those attached for long enough."""
        written = _KEY.findall(str(self.body.get("onstart") or ""))
        attached = [key for key, from_then in self.attached.values() if from_then <= now]
        return {" ".join(key.split()[:2]) for key in (*written, *attached)}

    def dph_base(self) -> float:
        return float(self.body.get("price") or self.offer["dph_base"])

    def dph_total(self) -> float:
        return self.dph_base() + storage_of(self.offer, self.disk_gb)

    def step(self, now: int, *, sticks: str, exits: str, status_msg: str) -> None:
        """One look brings it one step further."""
        if self.intended == "stopped":
            if self.actual not in {"exited", "offline"}:
                self.actual, self.current = "exited", "stopped"
                self._rests(now)
            return
        if self.current != "running" or self.actual in {"running", "offline", "exited"}:
            return
        self.status_msg = status_msg or self.status_msg
        if status_msg:
            self.actual = "loading"
        elif sticks:
            self.actual = sticks
        elif self.looks_to_run > 0:
            self.looks_to_run -= 1
            self.actual = "loading"
        elif exits:
            self.actual, self.log = "exited", exits
        else:
            self.actual, self.status_msg = "running", "success, running " + str(self.body.get("image"))
            self.runs_since = now

    def ends(self, now: int) -> None:
        self._rests(now)
        self.destroyed_at = now

    def off(self, now: int) -> None:
        self._rests(now)

    def _rests(self, now: int) -> None:
        if self.runs_since is not None:
            self.stretches.append((self.runs_since, now))
            self.runs_since = None

    def bill(self, now: int) -> dict[str, Any]:
        """What it has cost: GPUs while it ran, its disk for as long as it existed."""
        stretches = [*self.stretches, *([(self.runs_since, now)] if self.runs_since is not None else [])]
        ran = sum(until - since for since, until in stretches)
        existed = (self.destroyed_at or now) - self.created_at
        total, storage = micros(self.dph_total()), micros(storage_of(self.offer, self.disk_gb))
        return {
            "id": self.handle,
            "label": self.label,
            "ask": self.offer["ask_contract_id"],
            "created_at": self.created_at,
            "entered_at": self.entered_at,
            "destroyed_at": self.destroyed_at,
            "stretches": stretches,
            "ran_us": ran,
            "existed_us": existed,
            "total_micros_per_hour": total,
            "storage_micros_per_hour": storage,
            "ran_micros": ran * total // US_PER_HOUR,
            "micros": (ran * (total - storage) + existed * storage) // US_PER_HOUR,
        }

    def row(self, now: int) -> Row:
        """As a list or a look shows it."""
        is_up, environment = (
            self.actual == "running" and self.intended == "running",
            self.body.get("env") or {},
        )
        ports: Any = None
        if is_up:
            ports = {
                f"{inside}/tcp": _places(self.host_port + 1 + at)
                for at, inside in enumerate(_inside(environment))
            }
            if not self.is_entrypoint:
                ports["22/tcp"] = _places(self.host_port)
        offer = self.offer
        shown = {
            name: offer[name]
            for name in (
                "machine_id host_id cpu_arch cpu_cores cpu_cores_effective cpu_name cpu_ram gpu_name gpu_arch gpu_ram"
                " gpu_frac gpu_lanes gpu_mem_bw bw_nvlink disk_name disk_bw num_gpus static_ip geolocation verification"
                " min_bid storage_cost inet_up inet_down inet_up_cost inet_down_cost reliability2 driver_version"
                " cuda_max_good direct_port_count"
            ).split()
        }
        return {
            **shown,
            "id": self.handle,
            "actual_status": self.actual,
            "cur_state": self.current,
            "next_state": self.following,
            "intended_status": self.intended,
            "status_msg": self.status_msg,
            "label": self.label or None,
            "template_id": None,
            "template_hash_id": self.body.get("template_hash_id"),
            "template_name": None,
            "image_uuid": self.body.get("image") or "from/template",
            "image_args": self.body.get("args") or [],
            "image_runtype": "args" if self.is_entrypoint else "ssh ssh_direc ssh_proxy",
            "extra_env": [[name, value] for name, value in environment.items()],
            "onstart": self.body.get("onstart"),
            "jupyter_token": "0" * 64,
            "public_ipaddr": offer["public_ipaddr"] if self.actual == "running" else None,
            "local_ipaddrs": "192.168.1.7 172.17.0.1 \n",
            "ssh_host": "127.0.0.1",
            "ssh_idx": "5",
            "ssh_port": self.ssh_port,
            "machine_dir_ssh_port": self.host_port if is_up else None,
            "direct_port_start": -1,
            "direct_port_end": -1,
            "ports": ports,
            "start_date": self.created_at / 1_000_000,
            "end_date": 1_860_000_000.0,
            "duration": 3_000_000.5,
            "uptime_mins": None if self.runs_since is None else (now - self.runs_since) / 60_000_000,
            "cpu_util": 0.7 if is_up else 0.0,
            "mem_limit": 31.3,
            "mem_usage": 0.4,
            "vmem_usage": 0.1,
            "gpu_totalram": offer["gpu_total_ram"],
            "gpu_util": 37.9 if is_up else None,
            "gpu_temp": 41.0 if is_up else None,
            "disk_space": self.disk_gb,
            "disk_util": 0.1,
            "disk_usage": 0.5,
            "rentable": False,
            "is_bid": self.is_bid,
            "dph_base": self.dph_base(),
            "dph_total": self.dph_total(),
            "storage_total_cost": storage_of(offer, self.disk_gb),
            "country_code": (offer["geolocation"] or "").rpartition(", ")[2] or None,
            "something_new": math.pi,
        }


def _places(port: int) -> list[Row]:
    return [{"HostIp": "0.0.0.0", "HostPort": str(port)}, {"HostIp": "::", "HostPort": str(port)}]


def _inside(environment: dict[str, Any]) -> list[int]:
    return [int(found.group(2)) for name in environment if (found := _PORT.fullmatch(name.strip()))]
