"""What deploy/ gives is valid, consistent, and does what it says."""
