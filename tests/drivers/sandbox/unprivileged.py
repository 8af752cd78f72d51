"""A whole life of one instance, in the process of an ordinary user. Started by the test of that name."""

import asyncio
import json
import os
import sys
from pathlib import Path

from berth.core.driver import Mount
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
        volume = rig.volume()
        volume_handle = (await driver.create_volume(volume)).handle
        order = rig.order(mounts=(Mount(volume_handle, "data"),))
        sighting = await driver.create(order)
        await rig.run(sighting, "mkdir -p /mnt/data/a/b; echo kept > /mnt/data/a/b/c")
        await rig.run(sighting, "chmod 000 /mnt/data/a/b /mnt/data/a /mnt/data")
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
        seen["volume"] = await rig.run(
            sighting,
            "chmod 700 /mnt/data /mnt/data/a /mnt/data/a/b; cat /mnt/data/a/b/c; chmod 000 /mnt/data/a",
        )
        again = rig.driver()
        await until_running(again, order.label)
        await again.destroy(sighting.handle)
        await until_gone(again, order.label)
        await again.destroy_volume(volume_handle)
        while list((directory / "sandbox" / "volumes").iterdir()):
            await asyncio.sleep(0.02)
        await again.close()
        seen["outside"] = [path.name for path in outside.iterdir()]
        seen["is_gone"] = not list((directory / "sandbox" / "instances").iterdir())

    in_sandbox(directory, test)
    seen["volumes"] = [path.name for path in (directory / "sandbox" / "volumes").iterdir()]
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(live(Path(sys.argv[1]))))
