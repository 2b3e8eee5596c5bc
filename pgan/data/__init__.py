"""Radiographs: readers of collections, the phantom, splits by patient, and record sets."""
