"""What results are worth: the scorecard of predictions, networks and links against a truth."""
