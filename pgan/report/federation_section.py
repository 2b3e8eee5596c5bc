"""Federated training <Fig 4B, C>: runs, arms compared over seeds, attacks against aggregators."""

from pgan.report import collect, markup, pictures, plots, section

_DISTANCE, _CRITIC = "distance to real images", "negative critic loss"
_NEGATIVE_LOSS = ("critic/negative_loss_held_out", "critic/negative_loss_train")
# Metrics of a comparison, and the exhibit of the paper; two see labels that are wrong.
_METRICS = {
    "distance": "Fig 4C",
    "distance with labels": None,
    "negative critic loss": "Fig 4B",
    "label loss": None,
}
# Of attacks, as a table: how its caption tells them.
_OF_ATTACKS = {
    "distance": "distance to real images",
    "distance with labels": "distance with labels to real images",
    "label loss": "label loss of the critic on held-out images",
}
_MOST_RUNS = 12
_ARMS_FIGURE = (
    "distance and critic loss by round",
    "Left: distance to real images; right: negative critic loss. Mean over the seeds and their "
    "range.",
)
_ATTACK_FIGURE = (
    "distances and label losses of attacks against aggregators",
    "Last distances to real images and label loss of the critic on held-out ones; smaller is "
    "better. A dot for each seed, a line at their mean.",
)


def build(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """The section; None without federated runs and comparisons."""
    parts, shows = [], set()
    compared = set()
    for folder in found.folders:
        rows = section.of_kind(folder, "federation")
        if rows:
            compared.add(folder.name)
            parts.append(
                section.guarded(rows, lambda f=folder, r=rows: _comparison(f, r, album, shows))
            )
    groups = {}
    for folder in found.folders:
        if folder.ticks and "federation.json" in folder.facts:
            groups.setdefault(folder.name.rpartition("/")[0], []).append(folder)
    for parent, folders in groups.items():
        is_drawn = parent not in compared  # the comparison has a figure of them
        parts.append(
            section.guarded([], lambda p=parent, f=folders, d=is_drawn: _runs(p, f, d, album))
        )
    if not parts:
        return None
    parts.append(section.beside_paper("federation"))
    return section.Section("Federated training", parts, frozenset(shows))


def _comparison(folder, rows, album, shows):
    latest = {}
    for row in rows:
        latest[row["variant"], row["baseline"], row["metric"], row["kind"]] = row
    rows = list(latest.values())
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"{section.counted(max(row['seeds'] for row in rows), 'seed')}; intervals are "
            "Student's over the seeds, differences are paired by seed. With one seed there is no "
            "interval, and differences may be those of seeds. Distance: to held-out images, last "
            "and lowest measurement; with labels, to training images and their labels."
        ),
    ]
    own = [row for row in rows if not row["baseline"]]
    is_attack = all("+" in row["variant"] for row in own)
    shown, caption = _ATTACK_FIGURE if is_attack else _ARMS_FIGURE
    parts.append(album.chart(folder.picture("comparison.png"), shown, caption))
    for metric, place in _METRICS.items():
        chosen = [row for row in rows if row["metric"] == metric]
        in_attack_table = is_attack and metric in _OF_ATTACKS
        if in_attack_table and chosen:
            parts.append(_attack_table(metric, [row for row in own if row["metric"] == metric]))
        # The means of attacks stand in their table; what is left are the differences.
        rest = [row for row in chosen if row["baseline"] or not in_attack_table]
        parts.append(_variants_table(metric, rest))
        if chosen and place and not is_attack:
            shows.add(place)
    return parts


def _interval(row):
    if row is None or row["mean"] is None:
        return None
    text = f"{row['mean']:.4g}"
    if row.get("low") is not None:
        text += f" ({row['low']:.4g} to {row['high']:.4g})"
    return text.replace("-", "\N{MINUS SIGN}")


def _variants_table(metric, rows):
    lines = []
    for variant, baseline in dict.fromkeys((row["variant"], row["baseline"]) for row in rows):
        own = {r["kind"]: r for r in rows if (r["variant"], r["baseline"]) == (variant, baseline)}
        name = f"{variant} \N{MINUS SIGN} {baseline}" if baseline else variant
        seeds = next(iter(own.values()))["seeds"]
        lines.append([name, seeds, _interval(own.get("final")), _interval(own.get("best"))])
    return markup.table(["variant", "seeds", "last", "lowest"], lines, metric) if lines else ""


def _attack_table(metric, rows):
    values, attacks, aggregators = {}, [], []
    for row in rows:
        attack, _, aggregator = row["variant"].partition("+")
        if row["kind"] == "final":
            values[attack, aggregator] = row
            attacks.append(attack)
            aggregators.append(aggregator)
    aggregators = list(dict.fromkeys(aggregators))
    lines = [
        [attack, *(_interval(values.get((attack, one))) for one in aggregators)]
        for attack in dict.fromkeys(attacks)
    ]
    header = ["attack", *(one.replace("_", " ") for one in aggregators)]
    caption = f"Last {_OF_ATTACKS[metric]} by attack and way of aggregating; smaller is better"
    return markup.table(header, lines, caption)


def _runs(parent, folders, is_drawn, album):
    first = folders[0].facts["federation.json"]
    network = first.get("network", {})
    parts = [
        markup.heading(f"{parent or folders[0].name}: runs"),
        markup.paragraph(
            f"{section.counted(len(folders), 'run')} at {network.get('resolution')} px; "
            f"{first.get('num_clients')} clients of "
            f"{markup.number(first.get('images_per_client'))} images, "
            f"{100 * first.get('client_share', 0):.0f} % of them in a round, "
            f"{first.get('generator_steps')} generator iterations of {first.get('critic_steps')} "
            f"critic steps, batch {first.get('batch_size')}, {first.get('optimizer')}."
        ),
    ]
    if is_drawn:
        courses = [_as_course(folder) for folder in folders[:_MOST_RUNS]]
        if any(course.curves for course in courses):
            drawing = plots.courses(courses, (), "round", (_DISTANCE,))
            caption = "Over the rounds. Dashed: real images against real ones, the floor."
            parts.append(album.drawing(plots.svg(drawing), f"curves of {parent}", caption))
    lines = []
    for folder in folders:
        settings, last = folder.facts["federation.json"], folder.ticks[-1]
        alarms = sum(bool(row.get("alarms")) for row in folder.ticks)
        rejected = sum(int(row.get("training/rejected", 0)) for row in folder.ticks)
        lines.append(
            [
                folder.name.rpartition("/")[2], settings.get("arm"), settings.get("seed"),
                f"{last.get('round', 0):,} of {settings.get('rounds', 0):,}",
                settings.get("aggregation"), settings.get("attack"), rejected, alarms,
                last.get("privacy/epsilon"),
            ]
        )  # fmt: skip
    header = [
        "run", "arm", "seed", "rounds", "aggregation", "attack", "updates refused",
        "rounds with an alarm", "epsilon",
    ]  # fmt: skip
    return [*parts, markup.table(header, lines)]


def _as_course(folder):
    keys = {key for row in folder.ticks for key in row}
    ends = ("_to_held_out", "_to_train")
    distance = next(
        (k for end in ends for k in sorted(keys) if k.startswith("monitor/") and k.endswith(end)),
        None,
    )
    critic = next((key for key in _NEGATIVE_LOSS if key in keys), None)
    curves = {}
    for panel, key in ((_DISTANCE, distance), (_CRITIC, critic)):
        points = [(row["round"], row[key]) for row in folder.ticks if key and key in row]
        if points:
            curves[panel] = points
    floors = [row[k] for row in folder.ticks for k in row if k.endswith("_real_floor")]
    has_floor = floors and distance and distance.endswith("_to_held_out")
    name = folder.name.rpartition("/")[2]
    return plots.Course(name, curves, {_DISTANCE: floors[-1]} if has_floor else {})
