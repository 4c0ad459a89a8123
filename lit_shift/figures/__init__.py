"""The papers' figures: arrays in, a matplotlib figure out.

Models are identified by name: a mapping from name to data draws each in its own colour, in order.
"""
