"""What a split has come to, for the user to read."""

import numpy as np

from pgan import results
from pgan.data import clients, labels, quotas, split_store, splits
from pgan.data import pool as pool_lib


def table(pool: pool_lib.Pool, split: splits.Split) -> str:
    """Records, patients, healthy images, those with each finding and of each group, by fold.

    The last row has the images that are in no fold, if any; their patients may have others in one.
    """
    groups = sorted(set(pool.values_of("group")) - {""})
    fold_of = {image_id: fold for fold, ids in split.folds.items() for image_id in ids}
    place = np.array([fold_of.get(image_id, "") for image_id in pool.image_ids])
    rows = []
    for fold in [*split.folds, ""]:
        part = pool.select(place == fold)
        if not fold and not len(part):
            continue
        facts = split_store.describe(part.image_ids, part.patient_ids, part.labels, pool.findings)
        row = [fold or "in no fold", facts["records"], facts["patients"], facts["no_finding"]]
        row += facts["positives"].values()
        rows.append(row + [part.values_of("group").count(group) for group in groups])
    header = ["fold", "records", "patients", pool_lib.HEALTHY, *pool.findings, *groups]
    return results.markdown_table(header, rows)


def remarks(pool: pool_lib.Pool, split: splits.Split) -> list[str]:
    """What the table does not tell about how the folds came about."""
    result = []
    if split.settings["method"] == "clients":
        skew = list(clients.skew(pool, split).values())
        result.append(
            f"Classes of the clients differ from those of all by {np.mean(skew):.2f} on average, "
            f"{min(skew):.2f} to {max(skew):.2f} (total variation: 0 alike, 1 disjoint)."
        )
    if split.settings.get("patients") == "chosen":
        result.append(
            "The quotas left little choice: patients were taken whose other images no other fold "
            "wants, so the folds are not plain random samples of their classes."
        )
    wanted = [quotas.parse(text).counts for text in split.settings.get("quotas", ())]
    healthy = pool.select(labels.is_healthy(pool.labels, pool.findings))
    groups = healthy.values_of("group")
    if any(pool_lib.HEALTHY in counts for counts in wanted) and len(set(groups)) > 1:
        numbers = ", ".join(
            f"{name or 'none'} {groups.count(name)}" for name in sorted(set(groups))
        )
        result.append(
            f"Healthy is any image that shows no finding of this record set; by the collection's "
            f"own groups these are: {numbers}. --quota takes 'group=...' in its place."
        )
    return result
