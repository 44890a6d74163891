"""Real backends, as the tests start and end them."""
