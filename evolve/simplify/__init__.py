"""Simplification by training: what a program's scores do not need is left out, and every step is recorded."""
