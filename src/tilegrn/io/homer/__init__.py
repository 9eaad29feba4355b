"""HOMER: its tables and peak files, and running it."""
