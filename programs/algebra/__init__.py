"""What a program may be rewritten to: rules, the simplifier, derivations, and smaller programs to try."""
