"""What simulated clients do, how their answers are judged, and how a seed becomes a scenario."""
