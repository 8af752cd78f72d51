"""Whom we call: every provider, as the settings want it."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from berth import hosting
from berth.base import money
from berth.core.driver import Driver
from berth.drivers.incus import IncusDriver
from berth.drivers.sandbox import SandboxConfig, SandboxDriver
from berth.drivers.tensordock import TensorDockConfig, TensorDockDriver
from berth.drivers.vastai import VastaiConfig, VastaiDriver
from berth.drivers.verda import VerdaConfig, VerdaDriver
from berth.settings import Settings, SettingsError


def _sandbox(settings: Settings, install_id: str) -> SandboxDriver | None:
    chosen = settings.sandbox
    if not chosen.is_enabled:
        return None
    return SandboxDriver(
        SandboxConfig(
            state_dir=settings.data_dir / "sandbox",
            install_id=install_id,
            simulate=settings.simulate,
            listen_host=chosen.listen_host,
            advertise_ip=chosen.advertise_ip,
            first_port=chosen.first_port,
            last_port=chosen.last_port,
            network=chosen.network,
            volume_medium=chosen.volume_medium,
            volume_micros_per_gb_month=_storage_price(settings),
        )
    )


def _storage_price(settings: Settings) -> money.Micros:
    try:
        price = money.from_usd(settings.sandbox.volume_usd_per_gb_month)
    except ValueError as error:
        raise SettingsError(f"sandbox.volume_usd_per_gb_month: {error}") from error
    if price <= 0:
        raise SettingsError("sandbox.volume_usd_per_gb_month: must be more than 0")
    return price


def _verda(settings: Settings, _install_id: str) -> VerdaDriver | None:
    chosen = settings.verda
    if chosen.client_id is None:
        return None
    if not chosen.client_secret:
        raise SettingsError("verda.client_secret: must be set when verda.client_id is")
    return VerdaDriver(
        VerdaConfig(
            base_url=_address("verda", chosen.base_url),
            client_id=chosen.client_id,
            client_secret=chosen.client_secret,
            units=chosen.units,
            low_balance_micros=_low_balance("verda", chosen.low_balance_usd),
        )
    )


def _vastai(settings: Settings, _install_id: str) -> VastaiDriver | None:
    chosen = settings.vastai
    if chosen.api_key is None:
        return None
    if not chosen.api_key.strip().isprintable() or not chosen.api_key.strip():
        raise SettingsError("vastai.api_key: must be one line of text")
    return VastaiDriver(
        VastaiConfig(
            base_url=_address("vastai", chosen.base_url),
            api_key=chosen.api_key.strip(),
            min_reliability=_share("vastai.min_reliability", chosen.min_reliability),
            is_verified_only=chosen.verified_only,
            disk_gb=chosen.disk_gb,
            search_pages=chosen.search_pages,
            low_balance_micros=_low_balance("vastai", chosen.low_balance_usd),
            pace_permille=chosen.pace_permille,
        )
    )


def _tensordock(settings: Settings, _install_id: str) -> TensorDockDriver | None:
    chosen = settings.tensordock
    if not chosen.api_token:
        return None
    return TensorDockDriver(
        TensorDockConfig(
            base_url=_address("tensordock", chosen.base_url),
            api_token=chosen.api_token,
            default_image=chosen.default_image,
        )
    )


def _address(provider: str, url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise SettingsError(f"{provider}.base_url: must begin with https:// or http://")
    return url.rstrip("/")


def _share(name: str, text: str) -> Decimal:
    try:
        share = Decimal(text)
    except InvalidOperation:
        share = Decimal("NaN")
    if not share.is_finite() or not 0 <= share <= 1:
        raise SettingsError(f"{name}: must be a number from 0 to 1")
    return share


def _low_balance(provider: str, text: str) -> money.Micros:
    try:
        return money.from_usd(text)
    except ValueError as error:
        raise SettingsError(f"{provider}.low_balance_usd: {error}") from error


def _incus(settings: Settings, _install_id: str) -> IncusDriver | None:
    if not settings.incus.types:
        return None
    try:
        return IncusDriver(hosting.config_of(settings.incus))
    except ValueError as error:
        raise SettingsError(str(error)) from error


DRIVERS: Mapping[str, Callable[[Settings, str], Driver | None]] = {
    "sandbox": _sandbox,
    "incus": _incus,
    "verda": _verda,
    "vastai": _vastai,
    "tensordock": _tensordock,
}
"""Whom we call; a builder answers None for a provider that is not set up."""


def margins(settings: Settings) -> Mapping[str, int]:
    """Percent put on the cost of what each sells that names no price."""
    return {
        "verda": settings.verda.margin_percent,
        "vastai": settings.vastai.margin_percent,
        "tensordock": settings.tensordock.margin_percent,
    }
