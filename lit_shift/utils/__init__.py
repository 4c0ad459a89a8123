"""Errors in one sentence, printing, files written whole."""
