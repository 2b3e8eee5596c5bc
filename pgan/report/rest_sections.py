"""What no other section takes: the deposit, rows of unknown kind, pictures, and what is missing."""

from collections.abc import Sequence

from pgan.report import collect, markup, paper, pictures, section

_SHEET = "sheet.png"


def deposit(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """Generators that were admitted to a pool <Fig 1>; None without such rows."""
    parts = []
    for folder in found.folders:
        rows = section.of_kind(folder, "deposit")
        if rows:
            parts.append(section.guarded(rows, lambda f=folder, r=rows: _deposit(f, r)))
    if not parts:
        return None
    parts.append(section.beside_paper("deposit"))
    return section.Section("Deposit of generators", parts)


def _deposit(folder, rows):
    # What was refused did not become a submission, and has a site only.
    refused = [row for row in rows if "id" not in row]
    rows = [row for row in rows if "id" in row]
    facts = {row["id"]: row["facts"] for row in rows if isinstance(row.get("facts"), dict)}
    latest = {row["id"]: row for row in rows}
    lines = []
    for name, row in latest.items():
        card = facts.get(name, {})
        trained = card.get("training_records") or {}
        lines.append(
            [
                name, row["event"], row.get("date"), card.get("resolution"),
                len(card["findings"]) if "findings" in card else None,
                trained.get("fold_size"), section.origin_text(trained.get("origin", "")),
                "; ".join(row.get("reasons", [])) or None, "; ".join(row.get("flags", [])) or None,
            ]
        )  # fmt: skip
    lines += [
        [f"of {row['site']}", row["event"], row.get("date"), *[None] * 4,
         "; ".join(row.get("reasons", [])) or None, None]
        for row in refused
    ]  # fmt: skip
    admitted = sum(row["event"] == "admitted" for row in latest.values())
    header = [
        "generator", "state", "date", "px", "findings", "trained on, images", "of",
        "rejected or refused because", "remarks",
    ]  # fmt: skip
    text = (
        f"{section.counted(len(latest), 'generator')} submitted, {admitted} admitted"
        + (f"; {len(refused)} more refused at the door" if refused else "")
        + ". What "
        "generators measure against the deposit's reference stands among the metrics."
    )
    return [markup.heading(folder.name), markup.paragraph(text), markup.table(header, lines)]


def sheets(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """Sets of image files that were drawn from exports; None without one."""
    figures = []
    for folder in found.folders:
        facts = folder.facts.get("synthesis.json")
        if facts is not None:
            records = facts.get("training_records") or {}
            trained_on = records.get("origin", collect.UNKNOWN)
            caption = (
                f"{folder.name}. {markup.number(facts.get('count'))} images were drawn from "
                f"{facts.get('generator')}, seed {facts.get('seed')}."
            )
            figures.append(
                album.synthetic(folder.picture(_SHEET), "synthetic images", caption, trained_on)
            )
    figures = [one for one in figures if one]
    if not figures:
        return None
    return section.Section("Images drawn from exports", [markup.gallery(figures)])


def others(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """Rows of a kind that this page does not know, as plain tables; None without one."""
    parts = []
    for folder in found.folders:
        rows = [row for row in folder.rows if not section.kind(row)]
        if rows:
            parts += [markup.heading(folder.name), section.plain_tables(rows)]
    if not parts:
        return None
    text = "Rows of kinds that this page has no section for."
    return section.Section("Other measurements", [markup.paragraph(text), *parts])


def index(sections: Sequence[section.Section]) -> section.Section:
    """Figures and tables of the paper: where each is shown, or what makes it."""
    places = {place: one for one in reversed(sections) for place in one.shows}
    lines = []
    for item in paper.INDEX:
        where = places.get(item.place)
        if where is not None:
            state = markup.join(["shown: ", markup.link(where.anchor, where.title)])
        elif item.command:
            state = markup.join(["not in these folders; made by ", markup.code(item.command)])
        else:
            state = f"not reproduced: {item.reason}"
        lines.append([item.place, item.what, state])
    missing = paper.missing(places)
    text = (
        f"{len(paper.INDEX) - len(missing)} of {len(paper.INDEX)} figures, tables and other "
        f"exhibits of the paper are shown here. {paper.TITLE}. Shown means that the same thing was "
        "measured, not that the result is the same: data, size of images and effort are said in "
        "each section."
    )
    table = markup.table(["in the paper", "what", "here"], lines)
    return section.Section("Figures and tables of the paper", [markup.paragraph(text), table])
