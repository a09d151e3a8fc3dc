"""Rewriting programs: rules, the simplifier, derivations, and smaller programs to try."""
