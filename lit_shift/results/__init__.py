"""Finished runs as tables, figures and one HTML page. Needs no torch."""
