"""xinmai: one hardware-telemetry agent for every accelerator in a mixed fleet."""

__version__ = "0.1.0"
