"""The page: sections in the paper's order, a table of contents, what it shows of patients."""

import datetime
import pathlib
from collections.abc import Sequence

from pgan import run_folder
from pgan.report import (
    audit_section,
    classifier_section,
    collect,
    data_section,
    federation_section,
    findings_section,
    glance,
    markup,
    measures_section,
    pictures,
    readers_section,
    rest_sections,
    section,
    training_section,
)

_BUILDERS = (
    data_section.build,
    training_section.build,
    rest_sections.sheets,
    measures_section.build,
    audit_section.build,
    findings_section.build,
    classifier_section.build,
    federation_section.build,
    readers_section.build,
    rest_sections.deposit,
    rest_sections.others,
)


def write(
    paths: Sequence[pathlib.Path], output: pathlib.Path, title: str, real_images: bool = False
) -> collect.Found:
    """Writes the page on everything that folders hold, whole or not at all.

    The same files give the same page.

    Args:
        paths: Folders of runs, evaluations, experiments, studies, or files of rows.
        output: The HTML file.
        title: Of the page.
        real_images: Whether pictures of real patients may be shown.

    Returns:
        What was found.

    Raises:
        ValueError: If there is nothing to report, or a path does not exist.
    """
    found = collect.collect(paths)
    output.parent.mkdir(parents=True, exist_ok=True)
    run_folder.write_atomically(output, page(found, title, real_images))
    return found


def page(found: collect.Found, title: str, real_images: bool = False) -> str:
    """The page as text; arguments as of `write`."""
    album = pictures.Album(real_images)
    sections: list[section.Section] = []
    for build in _BUILDERS:
        made = build(found, album)
        sections += made if isinstance(made, list) else [made] if made else []
    sections.append(rest_sections.index(sections))
    body = [markup.heading(title, 1), _origin(found), album.disclosure()]
    if found.faults:
        body.append(markup.Html(f'<div class="banner alarm">{markup.bullets(found.faults)}</div>'))
    body += [_contents(sections), glance.build(found)]
    for one in sections:
        body += [markup.heading(one.title, 2, one.anchor), *map(markup.text, one.parts)]
    return markup.page(title, body)


def _origin(found):
    rows = sum(len(folder.rows) for folder in found.folders)
    ticks = sum(len(folder.ticks) for folder in found.folders)
    when = ""
    if found.newest is not None:
        time = datetime.datetime.fromtimestamp(found.newest, datetime.UTC)
        when = f"As of {time:%Y-%m-%d %H:%M} UTC, the time of the newest row. "
    return markup.paragraph(
        f"{when}{rows:,} measurements and {ticks:,} lines of training runs in "
        f"{section.counted(len(found.folders), 'folder')}.",
        "meta",
    )


def _contents(sections):
    items = "".join(f"<li>{markup.link(one.anchor, one.title)}</li>" for one in sections)
    return markup.Html(f'<nav aria-label="Contents"><ol>{items}</ol></nav>')
