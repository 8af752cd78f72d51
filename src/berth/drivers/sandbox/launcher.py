"""Sets limits on itself, then becomes the program it was told to run. Every child inherits them.

One file without imports of our package: it runs in a bare interpreter, between fork and bubblewrap,
because work after a fork is not safe in a threaded program.

    launcher.py '{"cgroups": [<cgroup.procs files>], "rlimits": {"RLIMIT_AS": <bytes>}}' PROGRAM ARGUMENT...
"""

import json
import os
import resource
import sys


def main() -> None:
    limits = json.loads(sys.argv[1])
    for path in limits["cgroups"]:
        with open(path, "w") as file:  # noqa: PTH123
            file.write("0")
    for name, wanted in limits["rlimits"].items():
        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        # Asking above the hard limit is refused, and infinity is -1.
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (value, value))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606


if __name__ == "__main__":
    main()
