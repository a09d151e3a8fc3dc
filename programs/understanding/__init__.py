"""Understanding programs: what a program consists of, what it does, and which known optimizers are similar."""
