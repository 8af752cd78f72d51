"""What Incus refuses, as the driver's errors: each is named for what the caller does next.

It answers most of what goes wrong with 500 and a sentence, so the sentence is what counts. They are those of Incus 6.
"""

import re

from berth.core.driver import (
    BadCredentials,
    DriverError,
    NoCapacity,
    OutcomeUnknown,
    Refused,
    Unreachable,
)

_SHOWN = 400
_FORBIDDEN = re.compile(
    r"not authorized|does not have permissions? for project|certificate.*(expired|not yet valid)"
)
_EXISTS = re.compile(r"already exists|UNIQUE constraint failed: \w+\.project_id, \w+\.name|already in use by")
_GONE = re.compile(
    r"^(Failed to fetch instance[^:]*: |.*: )?(Instance|Storage pool volume|Storage volume) not found$"
)
_NO_PROJECT = re.compile(r"Project not found")
_IMAGE = re.compile(
    r"Image(?: alias)? not found|No fingerprint prefix specified|Image not provided|(?i:no such image)|image.*not found"
)
_FULL = re.compile(r"(?i:no space left on device|disk quota exceeded|out of disk space|not enough space)")
_CAPACITY = re.compile(r"no capacity|Couldn't find a cluster member|No suitable cluster member")
_GPU_GONE = re.compile(
    r"Invalid PCI address \(no device found\)|Failed to detect requested GPU|GPU.*not found"
)
_GPU_BUSY = re.compile(r"(?i:device.*(?:busy|already (?:in use|bound|attached)))")
_PORT_BUSY = re.compile(r"bind: address already in use")
_RUNS = re.compile(r"already running")
_STOPPED = re.compile(r"already stopped|(?:Instance|The instance) is (?:not running|already stopped)")
_IS_RUNNING = re.compile(r"^Instance is running$")
_COLLIDES = re.compile(r"Failed to create mount directory .*file exists")
_BUSY = re.compile(
    r"(?i:busy running an? \"?\w+\"? operation|operation.* in progress|resource temporarily unavailable|"
    r"device or resource busy|Instance is busy)"
)
_MEMBER = re.compile(
    r"Cluster member \".*\" not found|Cluster member not found|[Mm]ember.*(?:is offline|evacuated|not (?:online|available))"
)
_AWAY = re.compile(
    r"(?i:unable to connect|connection refused|no route to host|no available cowsql leader|"
    r"database is locked|context deadline exceeded|i/o timeout|EOF$|driver: bad connection|"
    r"member .* is offline|cluster member.*(?:appears|seems) (?:to be )?(?:down|offline)|connect: )"
)


class Missing(Refused):
    """What was asked for is not there. Never leaves this driver as an answer about an instance."""


class Exists(Refused):
    """Something of that name is there already."""


class RunsAlready(Refused):
    """It was to be started and runs."""


class StoppedAlready(Refused):
    """It was to be stopped and does not run."""


class PortTaken(Refused):
    """Somebody listens on its port already."""


class Changed(Refused):
    """What was to be written over is not what was read."""


class Colliding(OutcomeUnknown):
    """Two requests mounted one disk in the same moment. It is soon over, and what was asked for may be done."""


def error_of(status: int, sentence: str, *, changes: bool, what: str) -> DriverError:
    """What an answer other than a success means. `changes`: the request would have changed something."""
    said = f"{what}: {status} {sentence[:_SHOWN]}"
    if status in {401, 403} or _FORBIDDEN.search(sentence):
        return BadCredentials(said)
    if _NO_PROJECT.search(sentence):
        return BadCredentials(f"{said} (incus.project names none that is there)")
    if status == 412:  # noqa: PLR2004
        return Changed(said)
    for pattern, make in _MEANINGS:
        if pattern.search(sentence):
            return make(said)
    if _AWAY.search(sentence) or status in {502, 503, 504}:
        return OutcomeUnknown(said) if changes else Unreachable(said)
    if status == 429:  # noqa: PLR2004
        return Unreachable(said)
    if status == 404:  # noqa: PLR2004
        return Refused(said)
    if status >= 500:  # noqa: PLR2004
        return OutcomeUnknown(said) if changes else Unreachable(said)
    return Refused(said)


def failure_of(sentence: str, what: str) -> DriverError:
    """What an operation that ended in failure means. Incus takes back what one began, unless a member went away meanwhile."""
    return error_of(400, sentence, changes=True, what=what)


def _full(said: str) -> DriverError:
    return NoCapacity(said, reason="The host's storage is full.")


def _image(said: str) -> DriverError:
    return Refused(said, reason="The image is not available on the hosts at the moment.")


def _gpu_gone(said: str) -> DriverError:
    return NoCapacity(said, reason="The host's GPU is not available at the moment.")


def _gpu_busy(said: str) -> DriverError:
    return NoCapacity(said, reason="The host's GPU is in use.")


def _no_member(said: str) -> DriverError:
    return Unreachable(said, reason="The host is not available at the moment.")


_MEANINGS = (
    (_CAPACITY, NoCapacity),
    (_FULL, _full),
    (_GPU_GONE, _gpu_gone),
    (_PORT_BUSY, PortTaken),
    (_GPU_BUSY, _gpu_busy),
    (_COLLIDES, Colliding),
    (_EXISTS, Exists),
    (_GONE, Missing),
    (_IMAGE, _image),
    (_RUNS, RunsAlready),
    (_STOPPED, StoppedAlready),
    (_IS_RUNNING, Unreachable),
    (_BUSY, Unreachable),
    (_MEMBER, _no_member),
)
