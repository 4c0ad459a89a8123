"""Antialiasing of a trained network: each subsampling becomes dense, then blurred, then subsampled."""

from lit_shift.surgery.antialiasing import antialias
from lit_shift.surgery.report import Report

__all__ = ["Report", "antialias"]
