"""Builds a Debian image with its SSH entry out of this host's own package sources, and publishes it to the cluster.

What is in it comes from where this host's packages come from, so that no address stands here and mirrors keep working.
"""

import asyncio
import contextlib
import io
import json
import platform
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from berth.base.clock import SECOND, SystemClock
from berth.core.driver import Refused
from berth.drivers.incus.client import Client, segment
from berth.drivers.incus.translate import rows, text

PACKAGES = ("openssh-server", "systemd-sysv", "dbus", "ca-certificates", "iproute2", "isc-dhcp-client")
_TOOLS = ("mmdebstrap", "mksquashfs")
_LIMIT_S = 1800
_SHOWN = 2000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

# Runs inside the new system, before it is packed. `$1` is its root.
_FINISH = r"""
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/machine-id "$root"/etc/hostname
: > "$root/etc/machine-id"
cat > "$root/etc/systemd/system/berth-entry.service" <<'UNIT'
[Unit]
Description=SSH host keys, before the SSH server
Before=ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key || exec ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
[Install]
WantedBy=multi-user.target
UNIT
cat > "$root/etc/systemd/system/berth-startup.service" <<'UNIT'
[Unit]
Description=The startup script, once
After=network.target ssh.service
ConditionPathExists=/var/lib/berth/startup-script
ConditionPathExists=!/var/lib/berth/started
[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=-/etc/environment
ExecStart=/bin/sh -c 'touch /var/lib/berth/started; exec /var/lib/berth/startup-script >/var/log/startup-script.log 2>&1'
[Install]
WantedBy=multi-user.target
UNIT
cat > "$root/etc/systemd/network/berth.network" <<'NETWORK'
[Match]
Name=eth*
[Network]
DHCP=yes
NETWORK
printf 'PasswordAuthentication no\nPermitRootLogin prohibit-password\nHostKey /etc/ssh/ssh_host_ed25519_key\n' \
    > "$root/etc/ssh/sshd_config.d/berth.conf"
chroot "$root" systemctl --quiet enable berth-entry berth-startup ssh systemd-networkd
chroot "$root" systemctl --quiet mask e2scrub_reap.service systemd-networkd-wait-online.service \
    getty.target console-getty.service systemd-logind.service
"""


@dataclass(frozen=True, slots=True)
class Built:
    """An image as two files: what it is, and its root file system."""

    metadata: Path
    root: Path


def missing() -> str | None:
    """What this host lacks to build one; None when it has all."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"programs are missing: {', '.join(absent)} (apt-get install mmdebstrap)" if absent else None


async def build(directory: Path, *, release: str, packages: Sequence[str] = ()) -> Built:
    """Builds it in `directory`, as root; a minute or two. `release` is Debian's word, such as `bookworm`.

    Raises Refused when something goes wrong, with what was said.
    """
    if (lacks := missing()) is not None:
        raise Refused(lacks)
    finish, tree, root = directory / "finish.sh", directory / "root", directory / "root.squashfs"
    finish.write_text(_FINISH)
    await _run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join((*PACKAGES, *packages))}",
        # What is not on the disk when the power fails is built again.
        "--dpkgopt=force-unsafe-io",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        '--aptopt=Acquire::Retries "3"',
        f'--customize-hook=sh {finish} "$1"',
        release,
        str(tree),
    )
    # Devices are made anew in each instance.
    await _run(
        "mksquashfs",
        str(tree),
        str(root),
        "-quiet",
        "-no-progress",
        "-noappend",
        "-comp",
        "zstd",
        "-Xcompression-level",
        "3",
        "-wildcards",
        "-e",
        "dev/*",
    )
    shutil.rmtree(tree)
    metadata = directory / "metadata.tar"
    _describe(metadata, release)
    return Built(metadata, root)


async def publish(client: Client, built: Built, alias: str) -> str:
    """Uploads it under `alias`, in the place of what had that before. Its fingerprint. Raises any DriverError."""
    aliases = {
        text(each, "name"): text(each, "target")
        for each in rows(await client.get("/1.0/images/aliases", recursion="1"))
    }
    old = aliases.get(alias)
    with built.metadata.open("rb") as metadata, built.root.open("rb") as root:
        form = aiohttp.FormData()
        form.add_field("metadata", metadata, filename=built.metadata.name)
        form.add_field("rootfs", root, filename=built.root.name)
        made = await client.upload("/1.0/images", form, {"X-Incus-public": "false"})
    fingerprint = str(made["fingerprint"])
    if old is None:
        await client.change("POST", "/1.0/images/aliases", {"name": alias, "target": fingerprint})
        return fingerprint
    await client.change("PUT", f"/1.0/images/aliases/{segment(alias)}", {"target": fingerprint})
    if old != fingerprint:
        with contextlib.suppress(Refused):
            await client.change("DELETE", f"/1.0/images/{old}", {})
    return fingerprint


def _describe(path: Path, release: str) -> None:
    machine = platform.machine()
    said = {
        "architecture": machine,
        "creation_date": SystemClock().now() // SECOND,
        "properties": {
            "description": f"Debian {release} by Berth",
            "os": "debian",
            "release": release,
            "architecture": _ARCHITECTURES.get(machine, machine),
        },
    }
    # JSON is YAML too.
    content = json.dumps(said).encode()
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("metadata.yaml")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), _LIMIT_S)
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise Refused(f"{command[0]}: not done after {_LIMIT_S} s") from error
    if process.returncode:
        raise Refused(f"{command[0]}: {said.decode('utf-8', 'replace')[-_SHOWN:]}")
