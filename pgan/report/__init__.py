"""Rows and pictures of any number of folders to one HTML page; it knows rows, not experiments."""
