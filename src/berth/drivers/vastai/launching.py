"""The body of a create: what a container is started from, what it runs first, and who may enter.

Keys travel with the create, in what the container runs at each start: one made by a create whose answer was lost lets
its owner in as well as any other. Only what does not fit there is attached in a second call.
"""

import base64
import gzip
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from berth.core.driver import CreateOrder, Launch, ProviderTemplate, Refused
from berth.drivers.vastai import images

_RUNTYPE_SSH = "ssh_direc ssh_proxy"
"""As the service's own clients spell it."""
_RUNTYPE_COMMAND = "args"
ONSTART_LIMIT = 4096
ENVIRONMENT_LIMIT = 32_768
_IMAGE_LIMIT = 1024
_LEAST_DISK_GB = 8
_SCRIPT = "BERTH_SCRIPT"
_FIRST_START = (
    f'[ -e ~root/.berth-started ] || {{ touch ~root/.berth-started; printf %s "${_SCRIPT}" | base64 -d | gzip -d'
    " > ~root/.berth-script && chmod 700 ~root/.berth-script"
    " && ~root/.berth-script > ~root/startup-script.log 2>&1; }"
)
_MICROS = 1_000_000
_SSH_PORT = 22
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Start:
    """A create ready to be sent."""

    body: Mapping[str, Any]
    keys_to_attach: Sequence[str]
    """What the container does not write by itself."""


def start_of(order: CreateOrder, template: ProviderTemplate | None, *, disk_gb: int) -> Start:
    """Raises Refused for what the service would not take. `disk_gb`: where the order names none."""
    launch = order.launch or Launch()
    body: dict[str, Any] = {
        "client_id": "me",
        "label": str(order.label),
        "disk": max(order.os_volume_gb or disk_gb, _LEAST_DISK_GB),
        # Rather none than one that is off and whose disk is billed.
        "cancel_unavail": True,
    }
    if image := _image(order, launch, template):
        body["image"] = image
    if template is not None:
        body["template_hash_id"] = template.hash_id
    if launch.bid_micros_per_hour is not None:
        body["price"] = Decimal(launch.bid_micros_per_hour) / _MICROS
    elif order.is_spot:
        raise Refused(f"{order.label}: interruptible, and nothing is bid")
    environment = {**_ports(launch), **_named(order.environment)}
    if launch.is_entrypoint:
        body.update(_command(order, launch))
        to_attach: Sequence[str] = ()
    else:
        onstart, to_attach = _onstart(order, template, environment)
        body.update(runtype=_RUNTYPE_SSH, onstart=onstart)
    if sum(len(name) + len(value) for name, value in environment.items()) > ENVIRONMENT_LIMIT:
        raise Refused(f"{order.label}: too much environment", reason="The startup script is too long there.")
    body["env"] = environment
    return Start(body, to_attach)


def _image(order: CreateOrder, launch: Launch, template: ProviderTemplate | None) -> str | None:
    """What is pulled; None: what the template says."""
    if launch.image is not None:
        if not launch.image or len(launch.image) > _IMAGE_LIMIT:
            raise Refused(
                f"{order.label}: no image that could be pulled", reason="The image's name is too long."
            )
        return launch.image
    if template is not None:
        return None
    known = images.pulled(order.image_slug)
    if known is None:
        raise Refused(
            f"{order.label}: unknown image {order.image_slug!r}", reason="The image is not sold there."
        )
    return known


def _ports(launch: Launch) -> dict[str, str]:
    """The service takes mappings of ports as names of the environment. That of SSH it makes itself."""
    return {f"-p {port}:{port}": "1" for port in launch.ports if launch.is_entrypoint or port != _SSH_PORT}


def _named(environment: Mapping[str, str]) -> Mapping[str, str]:
    """A name that looks like a flag would be one, of the container's start."""
    for name in environment:
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{name!r} is no name", reason="A name in the environment is not one that can be used."
            )
    return environment


def _command(order: CreateOrder, launch: Launch) -> dict[str, Any]:
    if sum(map(len, launch.arguments)) > ONSTART_LIMIT:
        raise Refused(f"{order.label}: too many arguments", reason="The arguments are too long there.")
    return {"runtype": _RUNTYPE_COMMAND, "args": list(launch.arguments)}


def _onstart(
    order: CreateOrder, template: ProviderTemplate | None, environment: dict[str, str]
) -> tuple[str, Sequence[str]]:
    """What runs at each start, and the keys that it does not write. Adds to `environment` what is too long for it."""
    lines = []
    if order.startup_script:
        environment[_SCRIPT] = base64.b64encode(
            gzip.compress(order.startup_script.encode(), mtime=0)
        ).decode()
        lines.append(_FIRST_START)
    # What is said here takes the place of what the template says.
    if template is not None and template.onstart.strip():
        lines.append(template.onstart.rstrip())
    keys = [" ".join(key.split()) for key in order.ssh_public_keys]
    written = "\n".join([*_write_keys(keys), *lines])
    if len(written.encode()) <= ONSTART_LIMIT:
        return written, ()
    rest = "\n".join(lines)
    if len(rest.encode()) > ONSTART_LIMIT:
        raise Refused(f"{order.label}: the template's own start is too long")
    return rest, keys


def _write_keys(keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    adds = [f'grep -qxF {shlex.quote(key)} "$keys" || echo {shlex.quote(key)} >> "$keys"' for key in keys]
    return [
        'keys=~root/.ssh/authorized_keys; mkdir -p ~root/.ssh; touch "$keys"',
        *adds,
        'chmod 700 ~root/.ssh; chmod 600 "$keys"',
    ]
