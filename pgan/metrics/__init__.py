"""Measures of synthetic images: features, then statistics, then a number.

Images to features; only these load TensorFlow:

* features: what an extractor is, and a small fixed one that needs no file.
* extractors: the Inception graph of 2015 (FID, KID), Keras's InceptionV3, models of one's own.
* resizing, saved_model, weight_files: parts of these.

Features to numbers, float64 NumPy:

* frechet: Frechet distance; kernel: kernel distance (KID).
* manifold: precision, recall, density and coverage.

Images to numbers, NumPy and SciPy:

* wasserstein: sliced Wasserstein distance of patches.
* spectrum: power spectra, and regular patterns in them.
* similarity: SSIM and MS-SSIM of pairs; diversity: the same of pairs with the same finding.

And for all of them:

* names: a number has its measure, count, settings and features in its name, such as `fd10k_fixed`;
  numbers of different names are not comparable.
* plots: figures.
"""
