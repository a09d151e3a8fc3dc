"""The command `pride`: reading what people type, and printing what they asked for."""
