"""What the loops count of boots and of what comes of them: one call for each thing that happened."""

from berth.base.clock import SECOND
from berth.core import measures, sessions
from berth.core.instances import FAILED, Instance, code_of, fault_of
from berth.core.sessions import Session
from berth.loops import proof
from berth.loops.world import World


async def booted(world: World, instance: Instance, seen: Instance | None) -> None:
    """It was seen to run; `seen` is what was written of that, if anything was."""
    is_first = instance.first_running_at is None and seen is not None and seen.first_running_at is not None
    if not is_first or instance.create_sent_at is None:
        return
    now, provider = world.clock.now(), instance.provider
    since_create_s = (now - instance.create_sent_at) / SECOND
    world.meters.observe(measures.BOOT_SECONDS, (now - instance.created_at) / SECOND, provider=provider)
    if proof.is_served(instance):
        world.meters.observe(measures.API_SECONDS, since_create_s, provider=provider)
    else:
        world.meters.observe(measures.SSH_SECONDS, since_create_s, provider=provider)
        world.meters.observe(measures.SSH_ATTEMPTS, instance.attempt + 1, provider=provider)
    session = await _session(world, instance)
    if session is not None and session.retry_count:
        world.meters.add(measures.RETRIES_SUCCEEDED, provider=provider, scope=session.retry_scope.value)


def boot_given_up(world: World, instance: Instance) -> None:
    world.meters.add(measures.API_FAILURES if proof.is_served(instance) else measures.SSH_FAILURES)


def offer_failed(world: World, instance: Instance, seen: Instance | None, reason: str) -> None:
    """It failed at its offer for `reason`; `seen` is what was written of that, if anything was."""
    kind = fault_of(reason)
    if seen is not None and kind is not None:
        world.meters.add(
            measures.OFFER_FAILURES,
            provider=instance.provider,
            gpu_type=instance.specs.gpu_model or "",
            failure_type=kind.value,
        )


async def failed_over(world: World, instance: Instance, seen: Instance | None, reason: str) -> None:
    """As `offer_failed`, where another offer was looked for."""
    offer_failed(world, instance, seen, reason)
    session = await _session(world, instance)
    if session is None or seen is None or not session.auto_retry:
        return
    provider, scope = instance.provider, session.retry_scope.value
    if seen.status in FAILED:
        world.meters.add(measures.RETRIES_EXHAUSTED, provider=provider, scope=scope)
    elif seen.offer_id != instance.offer_id:
        code = code_of(reason) or "other"
        world.meters.add(measures.RETRIES, provider=provider, scope=scope, reason=code)


async def _session(world: World, instance: Instance) -> Session | None:
    return await world.db.read(sessions.find, instance.id) if instance.is_session else None
