"""What a request is called, in answers, logs and the audit trail."""

import os
import re
from itertools import count

_REQUEST_ID = re.compile(rb"[\w.:+/=@-]{1,128}", re.ASCII)
_numbers = count(1)
_PROCESS = os.urandom(6).hex()


def request_id(given: bytes | None) -> str:
    """The caller's own id for the request where it is a sane one, else a fresh one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"req_{_PROCESS}{next(_numbers):08x}"
