"""What runs the pipeline on one machine: embedded servers, processes, their supervisor."""
