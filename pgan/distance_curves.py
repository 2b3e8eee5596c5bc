"""How the distances that a run watched while training developed, read from its folder."""

import dataclasses
import os

from pgan import distance_monitor, run_folder, schedule


@dataclasses.dataclass(frozen=True)
class Curves:
    """Distances over the images shown.

    Attributes:
        run: Name of the run.
        values: {name of the distance: [(images shown, value)]}, in the order of `stats.jsonl`. The
            names end as those of `distance_monitor.Names`.
        phases: (images shown at its beginning, px, whether it fades in) of each phase so far.
        images_shown: Where the run stood last.
        best: {"metric", "value", "images_shown"} of the checkpoint that was kept; None without one.
    """

    run: str
    values: dict[str, list[tuple[int, float]]]
    phases: list[tuple[int, int, bool]]
    images_shown: int
    best: dict | None


def read(run_dir: str | os.PathLike) -> Curves | None:
    """Reads the distances of a run, which may still be going on.

    Returns:
        The curves; None if the run did not watch any distance.

    Raises:
        FileNotFoundError: If the folder holds no run.
    """
    folder = run_folder.RunFolder(run_dir)
    settings, _ = folder.read()
    rows = folder.read_stats()
    prefix = f"{distance_monitor.FOLDER}/"
    values = {}
    for row in rows:
        for name in (name for name in row if name.startswith(prefix)):
            values.setdefault(name.removeprefix(prefix), []).append(
                (row["images_shown"], row[name])
            )
    if not values:
        return None
    shown = rows[-1]["images_shown"]
    plan = schedule.build(settings.schedule, settings.network.resolution)
    phases = [(p.start, p.resolution, p.fading) for p in plan.phases if p.start < shown]
    best = distance_monitor.read_best(folder)
    if best is not None:
        best = {**best, "metric": best["metric"].removeprefix(prefix)}
    return Curves(folder.path.name, values, phases, shown, best)
