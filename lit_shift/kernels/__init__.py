"""Faster versions of pools and convolutions; deleting them changes no result beyond rounding."""
