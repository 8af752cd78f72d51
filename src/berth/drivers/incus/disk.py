"""What is written into an instance's disk before its first start: what is its owner's. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncssh

from berth.core.driver import CreateOrder
from berth.drivers.incus import names

_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"


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
        found.append(File("/var/lib/berth/startup-script", "0700", order.startup_script.encode()))
    return found


def _ssh_directory(order: CreateOrder) -> str:
    return "/root/.ssh" if order.ssh_user == "root" else f"/home/{order.ssh_user}/.ssh"


def _environment(values: Mapping[str, str]) -> bytes:
    lines = (
        f'{name}="{value}"\n' for name, value in values.items() if "\n" not in value and '"' not in value
    )
    return "".join(lines).encode()
