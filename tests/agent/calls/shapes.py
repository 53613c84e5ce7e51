"""The shapes that vendors' functions have, each declared as a plugin declares it.

`sdk.function(name)` is the function, `sdk.handle(index)` a device's handle, and `series(name)`
stands for `self.context.metrics[name].of(device)`.
"""

from __future__ import annotations

from agent.calls.rig import Binding, series
from xinmai.api import CallProbe, Out, Result


def power(sdk: Binding) -> CallProbe:
    """int get_power(device, unsigned *mw): one number, the common case."""
    function = sdk.function("tsdk_get_power")
    return CallProbe(function, [sdk.handle(2), Out()], [Result(series("power"))])


def count(sdk: Binding) -> CallProbe:
    """unsigned count(void): without an Out() the result is the return value, and no status."""
    return CallProbe(sdk.function("tsdk_count"), [], [Result(series("count"))])


def state(sdk: Binding) -> CallProbe:
    """int get_state(device, state_t *state): a struct with a version, many results of one call."""
    version = 32 | 2 << 24
    results = [
        Result(series("on"), "is_on"),  # a bit field: the type says so
        Result(series("level"), "level"),
        Result(series("temperature"), "sensor.celsius[1]"),
        Result(series("revision"), "version", shift=24),  # bits that no type tells
    ]
    return CallProbe(
        sdk.function("tsdk_get_state"),
        [sdk.handle(3), Out(prime={"version": version})],
        results,
    )


def ways(sdk: Binding) -> CallProbe:
    """int get_ways(int, unsigned *count, way_t *ways): an array, its size in and out."""
    written, ways = Out(prime=3), Out(count=3)
    results = [
        # Memory is zero before each call: a way that is not there adds nothing.
        Result(series("board"), ways["[*].power"]),
        Result(series("second way"), ways["[1].power"], written=written),
        Result(series("third way"), ways["[2].power"], written=written),
    ]
    return CallProbe(sdk.function("tsdk_get_ways"), [1, written, ways], results)


def energy(sdk: Binding) -> CallProbe:
    """int get_energy(int, uint64_t *counter, float *resolution, uint64_t *time): a product."""
    counter, resolution = Out(), Out()
    results = [
        # A float in a series of integers: the product is rounded to one decimal, and the scale
        # in metrics.toml counts tenths.
        Result(series("energy"), counter, factor=resolution, decimals=1),
        Result(series("resolution", "f64"), resolution),
    ]
    arguments = [0, counter, resolution, Out()]
    return CallProbe(sdk.function("tsdk_get_energy"), arguments, results)


def values(sdk: Binding) -> CallProbe:
    """int get_values(device, int n, value_t *values): each with a status and a type of its own."""
    ids = [1, 2, 3, 99]
    found = Out(prime=[{"id": one} for one in ids])
    by_tag = {0: "real", 1: "whole", 2: "below"}  # the members of the union by the type's number
    results = [
        Result(
            series(f"value {one}"),
            found[at]["value"],
            decimals=1,
            status=found[at]["status"],
            tag=found[at]["type"],
            by_tag=by_tag,
        )
        for at, one in enumerate(ids)
    ]
    return CallProbe(sdk.function("tsdk_get_values"), [sdk.handle(1), len(ids), found], results)
