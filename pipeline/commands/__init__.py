"""Commands for whoever operates a pipeline; none of them imports what is heavy before it is run."""
