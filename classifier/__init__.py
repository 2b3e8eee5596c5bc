"""Judges of radiographs: classifiers, readers and the statistics of their decisions."""
