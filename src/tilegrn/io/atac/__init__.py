"""Accessibility that other tools have counted: matrices, places, names of cells."""
