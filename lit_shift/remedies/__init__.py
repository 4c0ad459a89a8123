"""Remedies for a jagged classifier, measured side by side: votes, a canonical crop, antialiasing."""
