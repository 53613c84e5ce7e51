"""Append-only, self-describing segments on disk: the agent's spool and the collector's log."""
