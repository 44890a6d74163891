"""The command as a user runs it, against a real pipeline."""
