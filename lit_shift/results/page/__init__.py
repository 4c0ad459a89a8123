"""HTML page of finished runs."""
