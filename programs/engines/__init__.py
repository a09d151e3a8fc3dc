"""How programs run: compiled one by one, or all by one interpreter."""
