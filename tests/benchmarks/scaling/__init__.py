"""How many workers a search can feed: the search in virtual time, and tables computed with it."""
