"""How programs run: each compiled by itself, or all by one interpreter."""
