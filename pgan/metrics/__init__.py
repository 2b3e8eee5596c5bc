"""Measures of synthetic images: features, then statistics, then a number.

Only the feature step (`features`) knows TensorFlow; the statistics and the distance (`frechet`)
are float64 NumPy. A result carries its count and its features in its name, such as `fd10k_fixed`:
distances over other counts or other features are not comparable.
"""
