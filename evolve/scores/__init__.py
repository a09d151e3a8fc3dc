"""Scores for people: estimates with intervals, and how programs stand beside each other."""
