"""`xinmai up`: broker, collector and agent as children of one command."""
