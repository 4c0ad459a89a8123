"""Classifiers to measure, each with its normalisation, classes and input size; votes."""
