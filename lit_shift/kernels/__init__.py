"""Faster versions of pools and convolutions; without them every result is the same to rounding."""
