"""Runs on disk: outcomes and finals, written by one process and read by anyone."""
