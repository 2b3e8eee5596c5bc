"""Whether maps point at a finding, as numbers, on phantoms: there it is known what lies where.

`pgan.region_shares` measures a map in the region of the finding. The region is what the finding
changes in the image: of an enlarged heart it is the rim by which it is larger, and a map that
covers all of the heart has little of itself there. What is negative in a map speaks against the
finding and counts as 0.
"""

from collections.abc import Sequence

import numpy as np

from classifier import image_table
from pgan import region_shares
from pgan.data import labels as labels_lib
from pgan.data import phantom, pyramid

# Grey levels that a stored image and its new drawing may differ by, for rounding.
_TOLERANCE = 1


def has_truth(table: image_table.ImageTable) -> bool:
    """Whether all images are phantoms that can be drawn again, pixel by pixel.

    Those of a drawn hospital have pseudonyms, which do not say what to draw.
    """
    manifests = [fold.records.manifest for fold in table.folds]
    return all(
        one["origin"] == "phantom" and one["source"] == "phantom" and not one["mask_markers"]
        for one in manifests
    )


def regions(
    table: image_table.ImageTable, numbers: Sequence[int], finding: str
) -> list[np.ndarray | None]:
    """Regions of a finding in phantoms, by drawing each again with and without it.

    Args:
        table: Images for which `has_truth`.
        numbers: Of the images.
        finding: Its name.

    Returns:
        bool [R, R] for each image: where the finding changes the noiseless image by at least a
        quarter of its largest change; None where it is absent.

    Raises:
        ValueError: If phantoms have no such finding, or an image is not the one drawn again.
    """
    names = [labels_lib.common_name(name) for name in labels_lib.NIH_14]
    if labels_lib.common_name(finding) not in names:
        raise ValueError(f"phantoms have no {finding!r}; theirs are {', '.join(labels_lib.NIH_14)}")
    place = names.index(labels_lib.common_name(finding))
    found = []
    for number, stored in zip(numbers, table.read(numbers), strict=True):
        records = table.folds[table.places[number, 0]].records
        name = table.image_ids[number]
        drawn, truth = phantom.redraw(name, records.max_resolution)
        drawn = pyramid.one_level(drawn, table.resolution)
        if np.abs(drawn.astype(int) - stored).max() > _TOLERANCE:
            raise ValueError(
                f"the image {name} of {records.path} is not what phantoms of version "
                f"{phantom.VERSION} look like; build the set anew with tools/build_records.py"
            )
        change = pyramid.box_filter(truth.findings[place], table.resolution)
        found.append(region_shares.region(change) if change.any() else None)
    return found
