"""What a program is made of, what it does, and which known optimizers move alike."""
