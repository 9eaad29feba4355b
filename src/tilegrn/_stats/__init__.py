"""Statistics on arrays: counts and their likelihood, correlations, rankings."""
