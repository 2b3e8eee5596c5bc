"""Real images above synthetic ones with the same findings."""

import numpy as np
from PIL import Image

from pgan import plots
from pgan.data import labels as labels_lib
from pgan.image_sets import ImageSet


def draw(
    reference: ImageSet, synthetic: ImageSet, findings: int = 4, columns: int = 10
) -> Image.Image:
    """Draws real images above synthetic ones, for no finding and the most frequent findings.

    Where the synthetic images were drawn for the labels of the reference, each stands below the
    real one whose labels it has.

    Args:
        reference: Real images.
        synthetic: Synthetic ones of the same size.
        findings: How many findings.
        columns: Images of a row, at most.

    Returns:
        The picture; without labels, with the first images of each set.
    """
    sets = {"real": reference, "synthetic": synthetic}
    if any(images.labels is None for images in sets.values()):
        chosen = {"": {kind: np.arange(min(s.count, columns)) for kind, s in sets.items()}}
    else:
        present = {kind: np.asarray(images.labels) >= 0.5 for kind, images in sets.items()}
        frequent = np.argsort(-present["real"].sum(axis=0), kind="stable")[:findings]
        shows = {labels_lib.name_of_none(reference.findings): lambda rows: ~rows.any(axis=1)}
        for i in frequent:
            shows[reference.findings[i]] = lambda rows, i=i: rows[:, i]
        chosen = {
            name: {kind: np.flatnonzero(test(rows))[:columns] for kind, rows in present.items()}
            for name, test in shows.items()
        }
    rows, names = [], []
    for name, places in chosen.items():
        for kind, numbers in places.items():
            if len(numbers):
                rows.append(sets[kind].fetch(numbers))
                names.append(f"{name}: {kind}" if name else kind)
    title = f"{reference.name}, above {synthetic.name}, {reference.resolution} px"
    return plots.image_grid(rows, names, title)
