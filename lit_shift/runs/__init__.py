"""A run's folder: its config, name, hash and files. Needs no torch."""
