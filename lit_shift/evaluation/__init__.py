"""Measure a run or any classifier: at all shifts, along paths, by votes."""
