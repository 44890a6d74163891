"""How jobs are submitted."""
