"""What a generator has learned of findings: sweeps, maps of differences, and where they lie."""
