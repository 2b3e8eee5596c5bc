"""Markdown tables of descriptions, a column for each."""

from collections.abc import Callable, Collection, Mapping, Sequence

from pgan import results
from pgan.data import labels
from pgan.data.description import DECADES, UNKNOWN, Description, FindingCounts

_ABSENT = "-"
_NONE = "none of these"
_EITHER = f"{labels.NO_FINDING} / {_NONE}"
_NOTE = (
    f"{labels.NO_FINDING} where it is a class; elsewhere images known to show none of the findings "
    f"above or below."
)


def finding_rows(descriptions: Collection[Description]) -> dict[str, str]:
    """{heading of a row: name of the finding}, each finding once.

    A finding has the name that the first description has for it. Images without a finding come
    first: as "No Finding" where that is a class, else as "none of these".
    """
    names = {}
    for description in descriptions:
        for name in description.findings:
            names.setdefault(labels.common_name(name), name)
    none = labels.common_name(labels.NO_FINDING)
    as_class = [any(map(labels.is_no_finding, one.findings)) for one in descriptions]
    heading = labels.NO_FINDING if all(as_class) else _EITHER if any(as_class) else _NONE
    others = {name: name for common, name in names.items() if common != none}
    return {heading: labels.NO_FINDING, **others}


def markdown(columns: Mapping[str, Description], matrices: Sequence[str]) -> str:
    """Tables of images, findings, ages and co-occurrence.

    A "-" stands where a finding is not labelled.

    Args:
      columns: descriptions by the heading of their column.
      matrices: headings of those whose co-occurrence is shown.

    Returns:
      Sections with headings of the second level.
    """
    sections = [
        ("Images", _images(columns)),
        ("Images with / without a finding (share of the known with it)", _findings(columns)),
    ]
    if any(counts.unknown for one in columns.values() for counts in one.findings.values()):
        sections.append(("Images of unknown label", _by_finding(columns, _unknown)))
    sections += [
        ("Patients with a finding in at least one image", _by_finding(columns, _patients)),
        ("Images by number of positive findings", _findings_per_image(columns)),
    ]
    if any(one.age_quantiles for one in columns.values()):
        ages = _table(columns, DECADES, lambda d, row: _share(d.ages, row))
        sections.append(("Images by age in years", ages))
    for name in matrices:
        if len(columns[name].findings) > 1:
            sections += [
                (f"Images with both findings: {name}", _matrix(columns[name], _both)),
                (
                    f"Of images with the row's finding, % with the column's: {name}",
                    _matrix(columns[name], _conditional),
                ),
            ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in sections) + "\n"


def format_share(share: float | None) -> str:
    """A share as percent with three digits, such as "1.28 %"."""
    if share is None:
        return _ABSENT
    return f"{f'{100 * share:#.3g}'.rstrip('.')} %" if share else "0 %"


def _table(
    columns: Mapping[str, Description],
    rows: Sequence[str],
    cell: Callable[[Description, str], str],
) -> str:
    body = [[row, *(cell(description, row) for description in columns.values())] for row in rows]
    return results.markdown_table(["", *columns], body)


def _images(columns: Mapping[str, Description]) -> str:
    rows = {
        "images": lambda d: f"{d.images:,}",
        "patients": lambda d: f"{d.patients:,}",
        "images per patient, mean": lambda d: f"{d.images_per_patient:.2f}",
        "images per patient, most": lambda d: f"{d.most_images_of_a_patient:,}",
        "age, median (quartiles)": _median_age,
        "age, range (90 is 90 and more)": _age_range,
        "age unknown": lambda d: _share(d.ages, UNKNOWN),
    }
    tallies = {
        "sex": lambda d: d.sexes,
        "view": lambda d: d.views,
        "group": lambda d: d.groups,
    }
    for kind, tally in tallies.items():
        counts = [tally(description) for description in columns.values()]
        names = sorted({name for one in counts for name in one if one[name]} - {UNKNOWN})
        unknown = [UNKNOWN] if any(one.get(UNKNOWN) for one in counts) else []
        for name in names + unknown:
            rows[f"{kind} {name}"] = lambda d, tally=tally, name=name: _share(tally(d), name)
    return _table(columns, list(rows), lambda description, row: rows[row](description))


def _median_age(description: Description) -> str:
    ages = description.age_quantiles
    return f"{ages['0.5']:g} ({ages['0.25']:g}-{ages['0.75']:g})" if ages else _ABSENT


def _age_range(description: Description) -> str:
    ages = description.age_quantiles
    return f"{ages['0']:g}-{ages['1']:g}" if ages else _ABSENT


def _share(tally: Mapping[str, int], name: str) -> str:
    """Count and share of the known; of all for the count of the unknown."""
    if not tally:
        return _ABSENT
    count = tally.get(name, 0)
    total = sum(tally.values()) - (0 if name == UNKNOWN else tally[UNKNOWN])
    return f"{count:,} ({format_share(count / total)})" if count else "0"


def _by_finding(columns: Mapping[str, Description], cell: Callable[[FindingCounts], str]) -> str:
    names = finding_rows(columns.values())

    def text(description: Description, heading: str) -> str:
        counts = description.finding(names[heading])
        return _ABSENT if counts is None else cell(counts)

    return _table(columns, list(names), text)


def _findings(columns: Mapping[str, Description]) -> str:
    table = _by_finding(
        columns, lambda c: f"{c.positive:,} / {c.negative:,} ({format_share(c.prevalence)})"
    )
    return f"{table}\n\n{_NOTE}" if _EITHER in table else table


def _unknown(counts: FindingCounts) -> str:
    return f"{counts.unknown:,}"


def _patients(counts: FindingCounts) -> str:
    return f"{counts.positive_patients:,}"


def _findings_per_image(columns: Mapping[str, Description]) -> str:
    most = max(len(description.findings_per_image) for description in columns.values())

    def cell(description: Description, row: str) -> str:
        images = description.findings_per_image
        return f"{images[int(row)]:,}" if int(row) < len(images) else "0"

    return _table(columns, [str(number) for number in range(most)], cell)


def _matrix(description: Description, cell: Callable[[Description, int, int], str]) -> str:
    names = list(description.findings)
    numbers = range(len(names))
    body = [
        [f"{row + 1} {names[row]}", *(cell(description, row, column) for column in numbers)]
        for row in numbers
    ]
    return results.markdown_table(["", *(str(number + 1) for number in numbers)], body)


def _both(description: Description, row: int, column: int) -> str:
    return f"{description.cooccurrence[row][column]:,}"


def _conditional(description: Description, row: int, column: int) -> str:
    share = description.conditional[row][column]
    return _ABSENT if share is None else f"{100 * share:.3g}"
