"""The settings of a search: what they are, and reading them from files and presets."""
