"""What somebody meets who comes to an instance of the provider in memory, over SSH or HTTP."""

from berth.base.login import Answer, Outcome
from berth.core.driver import Power
from tests.world.provider import Provider


def answers(provider: Provider, ip: str) -> bool:
    """Whether an SSH server answers there now."""
    return any(
        machine.ip == ip
        and machine.power in {Power.RUNNING, Power.STOPPING}
        and machine.answers_at <= provider.clock.now()
        for machine in provider.alive()
    )


def logs_in(provider: Provider, ip: str, command: str) -> Answer:
    """What comes of logging in there with the observer's key."""
    if not answers(provider, ip):
        return Answer(Outcome.UNREACHABLE)
    if not provider.lets_in:
        return Answer(Outcome.REFUSED)
    if command.startswith("echo "):
        return Answer(Outcome.DONE, command.removeprefix("echo ") + "\n")
    use = next(machine.use for machine in provider.alive() if machine.ip == ip)
    return Answer(Outcome.FAILED) if use is None else Answer(Outcome.DONE, use)


def serves(provider: Provider, ip: str, port: int) -> bool:
    """Whether the server of an image's own command answers there."""
    return provider.is_healthy and any(
        machine.ip == ip and port in machine.ports.values() and machine.power is Power.RUNNING
        for machine in provider.alive()
    )
