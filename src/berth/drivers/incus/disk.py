"""What is its owner's in an instance before its first start: written into a container's disk, told to a machine. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncssh

from berth.core.driver import CreateOrder
from berth.drivers.incus import names

_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
_SCRIPT = "/var/lib/berth/startup-script"


@dataclass(frozen=True, slots=True)
class File:
    """Of root's. Without `content` it is a directory."""

    path: str
    mode: str
    content: bytes | None = None


def host_key(name: str) -> asyncssh.SSHKey:
    """A key for its SSH server, whose fingerprint its owner can be told."""
    return asyncssh.generate_private_key("ssh-ed25519", comment=name)


def directories(order: CreateOrder) -> Sequence[File]:
    """They are there before the files are written."""
    found = [File(_ssh_directory(order), "0700" if order.ssh_user == "root" else "0755")]
    if order.startup_script:
        found.append(File("/var/lib/berth", "0700"))
    return found


def files(order: CreateOrder, key: asyncssh.SSHKey) -> Sequence[File]:
    hostname = names.hostname(order.hostname, order.label)
    keys = "".join(f"{key.strip()}\n" for key in order.ssh_public_keys)
    found = [
        File(_HOST_KEY, "0600", key.export_private_key()),
        File(f"{_HOST_KEY}.pub", "0644", key.export_public_key()),
        # Others than root could not read what only root may, and their ids are known in the image only.
        File(
            f"{_ssh_directory(order)}/authorized_keys",
            "0600" if order.ssh_user == "root" else "0644",
            keys.encode(),
        ),
        File("/etc/hostname", "0644", f"{hostname}\n".encode()),
        File("/etc/hosts", "0644", f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n".encode()),
    ]
    if order.environment:
        found.append(File("/etc/environment", "0644", _environment(order.environment)))
    if order.startup_script:
        found.append(File(_SCRIPT, "0700", order.startup_script.encode()))
    return found


def cloud_config(order: CreateOrder, key: asyncssh.SSHKey) -> str:
    """The same for a virtual machine, into whose disk nothing can be written while it is off: its image reads this once."""
    user: dict[str, object] = {
        "name": order.ssh_user,
        "ssh_authorized_keys": [each.strip() for each in order.ssh_public_keys],
    }
    if order.ssh_user != "root":
        user |= {"sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash"}
    written = [
        {"path": file.path, "permissions": file.mode, "content": (file.content or b"").decode()}
        for file in files(order, key)
        if file.path in {"/etc/environment", _SCRIPT}
    ]
    said = {
        "hostname": names.hostname(order.hostname, order.label),
        "manage_etc_hosts": True,
        "disable_root": order.ssh_user != "root",
        "ssh_pwauth": False,
        "ssh_keys": {
            "ed25519_private": key.export_private_key().decode(),
            "ed25519_public": key.export_public_key().decode(),
        },
        "users": [user],
        "write_files": written,
        "runcmd": [f"{_SCRIPT} >/var/log/startup-script.log 2>&1"] if order.startup_script else [],
    }
    # JSON is YAML too.
    return f"#cloud-config\n{json.dumps(said)}"


def _ssh_directory(order: CreateOrder) -> str:
    return "/root/.ssh" if order.ssh_user == "root" else f"/home/{order.ssh_user}/.ssh"


def _environment(values: Mapping[str, str]) -> bytes:
    lines = (
        f'{name}="{value}"\n' for name, value in values.items() if "\n" not in value and '"' not in value
    )
    return "".join(lines).encode()
