"""The search itself: proposals, islands, rounds, and the driver that commits what they find."""
