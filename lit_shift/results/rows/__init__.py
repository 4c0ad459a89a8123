"""Rows of Table 1 beside each other: is one better than another, and what does each cost? Needs no torch."""
