"""MuData files: what can be written, writing, reading and checking."""
