"""Where evidence is read: one module per kind of backend, and the built-in collector."""
