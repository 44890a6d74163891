"""The real backends: natively, without containers and without root, or by compose.yaml."""
