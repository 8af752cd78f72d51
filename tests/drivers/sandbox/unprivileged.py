"""A whole life of one instance, in the process of an ordinary user. Started by the test of that name."""

import json
import os
import sys
from pathlib import Path

from tests.contract.driver import until_gone, until_running
from tests.drivers.sandbox.attack import traps
from tests.drivers.sandbox.rig import in_sandbox


def live(directory: Path) -> dict[str, object]:
    seen: dict[str, object] = {"user": os.geteuid()}

    async def test(rig, driver) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        seen["problem"] = driver._instances.host.problem
        seen["layout"] = driver._instances.host.layout
        seen["limits"] = list(driver.abilities.limits)
        if seen["problem"] is not None:
            return
        order = rig.order()
        sighting = await driver.create(order)
        await rig.run(sighting, "echo kept > /root/kept; echo kept > /etc/kept")
        seen["usr"] = await rig.run(sighting, "touch /usr/x 2>/dev/null || echo read-only")
        await driver.stop(sighting.handle)
        await driver.start(sighting.handle)
        seen["kept"] = await rig.run(sighting, "cat /root/kept /etc/kept; id -u")
        outside = directory / "outside"
        outside.mkdir()
        await rig.run(sighting, traps(driver._instances.host.runtime.bound_paths, outside))
        await driver.restart(sighting.handle)
        seen["trapped"] = await rig.run(sighting, "echo up")
        again = rig.driver()
        await until_running(again, order.label)
        await again.destroy(sighting.handle)
        await until_gone(again, order.label)
        await again.close()
        seen["outside"] = [path.name for path in outside.iterdir()]
        seen["is_gone"] = not list((directory / "sandbox" / "instances").iterdir())

    in_sandbox(directory, test)
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(live(Path(sys.argv[1]))))
