"""The privacy audit of a generator: copies, distances, membership, their controls, and sheets."""
