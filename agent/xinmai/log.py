"""Logging set up the same way in every process: state changes, one line each, to stderr."""

from __future__ import annotations

import logging
import os
import sys


def setup(level: str | None = None) -> None:
    """Log to stderr; journald prefixes where systemd reads it (JOURNAL_STREAM), times elsewhere."""
    chosen = level or os.environ.get("XINMAI_LOG", "INFO")
    journal = "JOURNAL_STREAM" in os.environ
    form = "%(name)s: %(message)s"
    if not journal:
        form = f"%(asctime)s %(levelname)-7s {form}"
    logging.basicConfig(level=chosen.upper(), format=form, stream=sys.stderr, force=True)
