"""The families of the bench, for the tests of the codec."""

from xinmai.bench.traces import FAMILIES, node

__all__ = ["FAMILIES", "node"]
