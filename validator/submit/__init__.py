"""How jobs are handed to a target."""
