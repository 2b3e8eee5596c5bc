"""Training of one generator by several hospitals that keep their radiographs."""
