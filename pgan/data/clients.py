"""Clients of federated training: disjoint parts of a fold by patient, alike or skewed in labels."""

from collections.abc import Sequence

import numpy as np

from pgan.data import labels as labels_lib
from pgan.data import pool as pool_lib
from pgan.data import splits
from pgan.data.pool import Pool

_OTHER = "other"  # neither healthy nor with a finding that is known to be present

_SMALLEST_SHARE = 1e-6  # of a class in a client's mix; keeps every total reachable
_FITTING_STEPS = 1000
_FITTED = 1e-3  # images
_ONE = 2**32  # fixed point
_NONE = np.iinfo(np.int64).min


def draw(
    pool: Pool,
    num_clients: int,
    seed: int,
    images_per_client: Sequence[int] | None = None,
    shares: Sequence[float] | None = None,
    dirichlet: float | None = None,
) -> splits.Split:
    """Draws clients, as folds client_00, client_01 and so on.

    Without `dirichlet` patients are dealt in the order that the seed draws, whatever they show.

    With it each client draws a mix of classes from a Dirichlet distribution with parameters
    dirichlet * p, where p is the pool's own mix, as in Hsu et al., arXiv:1909.06335. An image's
    class is the rarest finding it shows, or healthy. The mixes are then changed, as little as
    possible in relative entropy, until they add up to the images that are there, and each patient
    goes to the client whose mix its images meet best. A patient's images stay together, whatever
    they show, so the clients follow their mixes only as far as patients allow: closely where there
    are many patients to choose from, roughly where all are dealt. `skew` says what came out.

    Args:
      pool: images to draw from.
      num_clients: K.
      seed: of the draw. With the same images it gives the same clients anywhere.
      images_per_client: one number for all or K numbers: exactly so many images each. Of each
        client's last patient some images may be left out, and patients beyond that are in none.
      shares: K numbers; all images are dealt, and sizes are in this proportion to within one
        patient. None, without `images_per_client`, makes equal sizes.
      dirichlet: above 0; 100 is nearly alike, 1 is skewed, and smaller ones approach one class
        per client.

    Raises:
      ValueError: sizes that cannot be had, or an argument outside what is said above.
    """
    if num_clients < 2:
        raise ValueError(f"There must be 2 clients or more, got {num_clients}.")
    if images_per_client and shares:
        raise ValueError("Sizes come from either images_per_client or shares, not from both.")
    if dirichlet is not None and not 0 < dirichlet < np.inf:
        raise ValueError(f"dirichlet must be above 0, got {dirichlet}.")
    sizes = _sizes(pool, num_clients, images_per_client, shares)
    patients = list(pool.by_patient(seed).values())
    exact = images_per_client is not None
    if dirichlet is not None:
        classes = image_classes(pool)[0]
        targets = _targets(classes, sizes, dirichlet, seed)
    # Exact sizes cut the last patient of a client. Where images are too few for that, the second
    # attempt is thrifty.
    for thrifty in (False, True):
        if dirichlet is not None:
            dealt = _deal_by_class(patients, classes, sizes, targets, exact, thrifty)
        elif exact:
            dealt = _deal_exactly(patients, sizes, thrifty)
        else:
            dealt = _deal_all(patients, sizes)
        if not exact or [len(positions) for positions in dealt] == sizes:
            break
    else:
        raise ValueError(
            f"Clients of exactly {', '.join(map(str, sizes))} images could not be made up of these "
            f"{pool.num_patients} patients with {len(pool)} images, since all images of a patient "
            f"stay together. Ask for fewer images."
        )
    width = max(2, len(str(num_clients - 1)))
    folds = {
        f"client_{client:0{width}d}": [pool.image_ids[p] for p in sorted(positions)]
        for client, positions in enumerate(dealt)
    }
    empty = [fold for fold, ids in folds.items() if not ids]
    if empty:
        raise ValueError(
            f"{', '.join(empty)} would have no patient: there are {pool.num_patients} patients "
            f"with {len(pool)} images. Ask for fewer clients or a larger share."
        )
    settings = {"method": "clients", "seed": seed, "clients": num_clients}
    if exact:
        settings["images_per_client"] = list(images_per_client)
    if shares:
        settings["client_shares"] = list(shares)
    if dirichlet is not None:
        settings["dirichlet"] = dirichlet
    return splits.Split(folds, settings)


def image_classes(pool: Pool) -> tuple[np.ndarray, list[str]]:
    """One class for each image: the rarest finding that it shows, or healthy.

    Returns:
      int [N], positions in the list of class names; only classes that occur, the rarest first.
    """
    present = pool.labels >= 0.5
    healthy = labels_lib.is_healthy(pool.labels, pool.findings)
    names = [*pool.findings, pool_lib.HEALTHY, _OTHER]
    count = len(pool.findings)
    # Rarest first, so that the first finding present is the rarest; the order breaks ties.
    rarest = np.argsort(present.sum(axis=0), kind="stable")
    first = rarest[np.argmax(present[:, rarest], axis=1)] if count else np.zeros(len(pool), int)
    classes = np.where(present.any(axis=1), first, count + 1)
    classes[healthy] = count
    numbers = np.bincount(classes, minlength=len(names))
    order = [c for c in np.argsort(numbers, kind="stable") if numbers[c]]
    place = np.zeros(len(names), int)
    place[order] = np.arange(len(order))
    return place[classes], [names[c] for c in order]


def skew(pool: Pool, split: splits.Split) -> dict[str, float]:
    """How far each client's mix of classes is from that of the whole pool.

    Returns:
      {client: total variation distance}, 0 for the same mix and 1 for nothing in common.
    """
    classes, names = image_classes(pool)
    position = {image_id: p for p, image_id in enumerate(pool.image_ids)}
    whole = np.bincount(classes, minlength=len(names)) / len(classes)
    result = {}
    for client, ids in split.folds.items():
        mix = np.bincount(classes[[position[i] for i in ids]], minlength=len(names)) / len(ids)
        result[client] = float(np.abs(mix - whole).sum() / 2)
    return result


def _sizes(
    pool: Pool,
    num_clients: int,
    images_per_client: Sequence[int] | None,
    shares: Sequence[float] | None,
) -> list[int]:
    for name, given in (("images_per_client", images_per_client), ("shares", shares)):
        if given is None:
            continue
        if name == "images_per_client" and len(given) == 1:
            given = list(given) * num_clients
        if len(given) != num_clients or not all(number > 0 for number in given):
            raise ValueError(
                f"{name} must be {num_clients} numbers above 0, one for each client, got "
                f"{', '.join(map(str, given))}."
            )
        if name == "shares":
            return pool_lib.apportion(len(pool), given)
        if sum(given) > len(pool):
            raise ValueError(
                f"{num_clients} clients want {sum(given)} images, and there are {len(pool)} of "
                f"{pool.num_patients} patients. Ask for fewer, or draw from a larger fold."
            )
        return list(given)
    return pool_lib.apportion(len(pool), [1] * num_clients)


def _deal_exactly(
    patients: Sequence[np.ndarray], sizes: Sequence[int], thrifty: bool
) -> list[list[int]]:
    """Deals patients in order until each client has its size.

    A full client cuts its last patient's images off. With `thrifty`, patients that do not fit wait
    for the next client instead.
    """
    left, dealt = list(patients), []
    for size in sizes:
        taken, left = _fill(left, size, thrifty)
        dealt.append(taken)
    return dealt


def _fill(
    patients: Sequence[np.ndarray], size: int, waiting: bool
) -> tuple[list[int], list[np.ndarray]]:
    """One client's images, and the patients that are left."""
    taken, left = [], []
    for positions in patients:
        room = size - len(taken)
        if room == 0 or (waiting and len(positions) > room):
            left.append(positions)
        else:
            taken.extend(positions[:room])
    if len(taken) < size and left:
        smallest = min(range(len(left)), key=lambda p: len(left[p]))
        taken.extend(left.pop(smallest)[: size - len(taken)])
    return taken, left


def _deal_all(patients: Sequence[np.ndarray], sizes: Sequence[int]) -> list[list[int]]:
    """Cuts the row of patients where the number of images comes nearest to the sizes' sums."""
    ends = np.cumsum([0, *map(len, patients)])
    cuts = [int(np.argmin(np.abs(ends - total))) for total in np.cumsum([0, *sizes])]
    return [
        [p for positions in patients[start:stop] for p in positions]
        for start, stop in zip(cuts[:-1], cuts[1:], strict=True)
    ]


def _targets(classes: np.ndarray, sizes: Sequence[int], dirichlet: float, seed: int) -> np.ndarray:
    """Images of each class that each client is to have, int [K + 1, C]; the last row is nobody's.

    Iterative proportional fitting (Deming and Stephan 1940) of the drawn mixes to the clients'
    sizes and to the number of images of each class.
    """
    totals = np.bincount(classes)
    whole = totals / totals.sum()
    generator = np.random.default_rng(seed)
    # Rounded, so that the last bits of a machine's logarithm decide nothing.
    drawn = np.round(generator.dirichlet(dirichlet * whole, size=len(sizes)), 6)
    rows = np.array([*sizes, totals.sum() - sum(sizes)], float)
    table = np.vstack([drawn + _SMALLEST_SHARE, whole]) * rows[:, None]
    for _ in range(_FITTING_STEPS):
        table *= totals / table.sum(axis=0)
        sums = table.sum(axis=1)
        if np.abs(sums - rows).max() < _FITTED:
            break
        table *= np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0)[:, None]
    return np.array(
        [
            pool_lib.apportion(int(size), row) if size else np.zeros(len(totals), int)
            for size, row in zip(rows, table, strict=True)
        ]
    )


def _deal_by_class(
    patients: Sequence[np.ndarray],
    classes: np.ndarray,
    sizes: Sequence[int],
    targets: np.ndarray,
    exact: bool,
    thrifty: bool,
) -> list[list[int]]:
    """Deals patients in order, each to the client whose targets its images meet best.

    That is where the sum over classes of (target - images)^2 / target falls most. Computed in whole
    numbers, so that it is the same on every machine. With exact sizes there is a further row of
    targets for the images that no client gets. With `thrifty` they are not more than they must
    be, and large patients come first, which leaves the small ones to fill the gaps.
    """
    shown = np.array([np.bincount(classes[p], minlength=targets.shape[1]) for p in patients])
    counts = shown.sum(axis=1)
    # Where nearly every image has to go somewhere, a client that wants none of a class must not
    # refuse it at any price.
    choosy = exact and not thrifty
    least = np.array([1 + (0 if choosy else size // 100) for size in [*sizes, 0]])
    lacking, room, nobody = targets.copy(), targets.sum(axis=1), len(sizes)
    if choosy:
        room[nobody] = len(classes)
    weights = _ONE // (targets + least[:, None])
    excess = weights.copy()
    excess[nobody] = 0  # there can be any number of images that no client has

    def gain(client: int | slice, chosen: int | list[int]) -> np.ndarray:
        images = shown[chosen].T
        return 2 * (lacking * weights)[client] @ images - excess[client] @ images**2

    def give(client: int, patient: int) -> None:
        dealt[client].extend(patients[patient])
        lacking[client] -= shown[patient]
        room[client] -= counts[patient]

    dealt, waiting = [[] for _ in sizes], []
    for patient in np.argsort(-counts, kind="stable") if thrifty else range(len(patients)):
        gains = np.where(room >= counts[patient], gain(slice(None), patient), _NONE)
        client = int(np.argmax(gains))
        if client != nobody and gains[client] > _NONE:
            give(client, patient)
            continue
        waiting.append(patient)
        if client == nobody:
            room[nobody] -= counts[patient]
            lacking[nobody] = np.maximum(lacking[nobody] - shown[patient], 0)
    if not exact:
        # Each is larger than any room that is left, so no client gets two of them.
        for patient in waiting:
            give(int(np.argmax(room[:nobody])), patient)
        return dealt
    for client in np.flatnonzero(room[:nobody]):
        best = np.argsort(-(gain(client, waiting) / counts[waiting]), kind="stable")
        waiting = [waiting[place] for place in best]
        taken, left = _fill([patients[p] for p in waiting], int(room[client]), True)
        dealt[client].extend(taken)
        kept = {positions[0] for positions in left}
        waiting = [p for p in waiting if patients[p][0] in kept]
    return dealt
