"""Whether a plugin should run here, asked before a process is spent on it."""

from __future__ import annotations

from xinmai.errors import ConfigError, PluginError
from xinmai.manifest import PluginSource, check_config, needs_met
from xinmai.sampler.hostproc import State
from xinmai.sampler.settings import HostSettings


def why_not(source: PluginSource, settings: HostSettings) -> tuple[State, str] | None:
    """The state a plugin rests in and the reason; None when it can start."""
    if settings.plugin.enabled is False:
        return State.DISABLED, "disabled in the configuration"
    try:
        config = check_config(source.manifest, settings.plugin.keys)
        missing = needs_met(source.manifest, settings.root, config)
    except (PluginError, ConfigError) as error:
        return State.FAILED, str(error)
    if missing:
        first = missing[0]
        return State.UNAVAILABLE, f"{first.what}: {first.on} ({first.fix})"
    return None
