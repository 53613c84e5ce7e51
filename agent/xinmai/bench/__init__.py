"""The project's own figures, each beside its reference, taken in one run."""
