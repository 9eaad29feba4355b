"""What every room may import, and what imports no room: slots, checks, windows, names, intervals."""
