"""The search, the run store, and the commands."""
