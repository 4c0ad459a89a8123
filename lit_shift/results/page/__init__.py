"""One HTML page of finished runs."""
