"""HTML without anything external: escaped text, tables, figures, and the page around them."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pgan import results

NONE = "\N{EN DASH}"


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Escapes a value; `Html` is left as it is, and None is a dash."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(number(value), quote=False))


def number(value: Any) -> str:
    """Numbers for people: three digits, thousands with separators; other values as they are."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "not finite"
        return results.format_number(value).replace("-", "\N{MINUS SIGN}")
    if isinstance(value, int):
        return f"{value:,}".replace("-", "\N{MINUS SIGN}")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {number(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(number, value))
    return str(value)


def estimate(row: Mapping[str, Any], value: str = "value", digits: int = 3) -> Html | str:
    """Such as "0.812 (0.780 to 0.842)" of a row; "not defined" where it has no value.

    Args:
        row: With the value and, if known, `low` and `high` or an `interval` of them.
        value: Its key.
        digits: After the point.
    """
    if row.get(value) is None:
        return "not defined"
    ends = row.get("interval") or row
    shown = _unbroken(f"{row[value]:.{digits}f}")
    if ends.get("low") is not None and ends.get("high") is not None:
        shown += " " + _unbroken(f"({ends['low']:.{digits}f} to {ends['high']:.{digits}f})")
    return Html(shown)


def _unbroken(value):
    """Text that a narrow cell of a table does not cut."""
    return f'<span class="one">{html.escape(value)}</span>'.replace("-", "\N{MINUS SIGN}")


def p_value(value: float | None) -> str:
    """Two digits; very small ones as a bound."""
    if value is None:
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def table(
    header: Sequence[Any], rows: Sequence[Sequence[Any]], caption: Any = "", notes: Any = ""
) -> Html:
    """A table; numbers stand at the right.

    Raises:
        ValueError: If a row has not as many cells as the header.
    """
    lines = []
    numeric = [all(_is_number(row[i]) for row in rows if i < len(row)) for i in range(len(header))]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells under a header of {len(header)}: {row}")
        cells = [f'<th scope="row"{_kind(row[0], False)}>{text(row[0])}</th>']
        cells += [
            f"<td{_kind(value, right)}>{text(value)}</td>"
            for value, right in zip(row[1:], numeric[1:], strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(
        f'<th scope="col"{_kind(None, right and number)}>{text(name)}</th>'
        for number, (name, right) in enumerate(zip(header, numeric, strict=True))
    )
    top = f"<caption>{text(caption)}</caption>" if caption else ""
    below = f'<p class="note">{text(notes)}</p>' if notes else ""
    return Html(
        f'<div class="table"><table>{top}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{below}"
    )


def _is_number(value):
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _kind(value, right):
    """Class of a cell: numbers stand at the right, short texts are not broken."""
    if right:
        return ' class="number"'
    is_short = isinstance(value, str) and not isinstance(value, Html) and len(value) < 22
    return ' class="one"' if is_short else ""


def figure(
    uri: str, alternative: str, caption: Any, kind: str = "chart", width: int | None = None
) -> Html:
    """A picture with a caption.

    Args:
        uri: data: URI.
        alternative: What it shows, for those who do not see it.
        caption: Below it.
        kind: "chart", which may be as wide as the page, or "picture", of which some stand side by
            side.
        width: In px of the screen, so that texts in charts have one size.
    """
    size = f' width="{width}"' if width else ""
    return Html(
        f'<figure class="{kind}"><img{size} src="{html.escape(uri)}" '
        f'alt="{html.escape(alternative)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def paragraph(value: Any, kind: str = "") -> Html:
    """A paragraph; `kind` is its class: "note", "warning" or "paper"."""
    return Html(f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{text(value)}</p>")


def bullets(values: Sequence[Any]) -> Html:
    """A list; nothing if it is empty."""
    items = "".join(f"<li>{text(value)}</li>" for value in values)
    return Html(f"<ul>{items}</ul>" if values else "")


def heading(value: Any, level: int = 3, anchor: str = "") -> Html:
    """A heading, to which links can lead."""
    place = f' id="{html.escape(anchor)}"' if anchor else ""
    return Html(f"<h{level}{place}>{text(value)}</h{level}>")


def link(anchor: str, value: Any) -> Html:
    """A link within the page."""
    return Html(f'<a href="#{html.escape(anchor)}">{text(value)}</a>')


def code(value: str) -> Html:
    """A command or a name from the code."""
    return Html(f"<code>{html.escape(value)}</code>")


def join(parts: Sequence[Any], between: str = "") -> Html:
    """Puts parts together, each escaped unless it is markup."""
    return Html(between.join(text(part) for part in parts))


def gallery(figures: Sequence[Html], kind: str = "") -> Html:
    """Pictures side by side, as many as fit, or two if `kind` is "wide"; nothing without any."""
    figures = [one for one in figures if one]
    name = f"gallery {kind}".strip()
    return Html(f'<div class="{name}">{"".join(figures)}</div>' if figures else "")


def beside(*parts: Any) -> Html:
    """Parts next to one another where the page is wide enough."""
    shown = [text(part) for part in parts if part]
    return Html(f'<div class="beside">{"".join(f"<div>{part}</div>" for part in shown)}</div>')


_STYLE = """
:root { --line: #c9ced6; --dim: #4a5260; --shade: #f3f5f8; --blue: #0b4f8a; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem; color: #16191d; background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: .4rem 0; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 .6rem; padding-top: .5rem;
  border-top: 2px solid var(--blue); color: var(--blue); }
h3 { font-size: 1.08rem; margin: 1.6rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 48rem; }
a { color: var(--blue); }
code { font: .88em ui-monospace, "Liberation Mono", Consolas, monospace; overflow-wrap: anywhere; }
nav { background: var(--shade); border: 1px solid var(--line); padding: .6rem 1rem; }
nav ol { margin: 0; padding-left: 1.4rem; columns: 2 18rem; }
.banner { border: 2px solid; padding: .5rem .9rem; margin: .8rem 0; max-width: none; }
.safe { border-color: #1b6e46; background: #eef8f2; }
.alarm { border-color: #a3260c; background: #fdf0ec; font-weight: 600; }
.note, figcaption, caption, .meta { color: var(--dim); font-size: .88rem; }
.warning { border-left: 4px solid #b35c00; padding-left: .7rem; }
.paper { background: var(--shade); border-left: 4px solid var(--blue); padding: .3rem .8rem;
  margin: .8rem 0; }
.paper table { background: transparent; }
.table { overflow-x: auto; margin: .7rem 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
thead th { border-bottom: 2px solid #6c7684; vertical-align: bottom; }
tbody th { font-weight: 500; }
th.number, td.number { text-align: right; }
td.number, .one { white-space: nowrap; }
.beside { display: flex; flex-wrap: wrap; gap: .4rem 2rem; align-items: flex-start; }
.beside > div { min-width: 0; max-width: 100%; }
.beside figure.picture { max-width: 24rem; }
figure { margin: .9rem 0; }
figure img { display: block; max-width: 100%; height: auto; }
figure.picture img { max-height: 44rem; width: auto; }
.gallery { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
.gallery.wide { grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.gallery figure { margin: 0; }
.gallery figure.picture img { width: 100%; max-height: none; background: #000; }
@media (max-width: 40rem) {
  body { padding: .7rem; font-size: 15px; }
  tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
  h1 { font-size: 1.4rem; }
  .gallery { grid-template-columns: 1fr 1fr; }
  .gallery.wide { grid-template-columns: 1fr; }
}
@media print {
  @page { size: A4; margin: 14mm 13mm; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; font-size: 1rem; }
  h2 { break-before: page; margin-top: 0; }
  h2, h3, caption { break-after: avoid; }
  figure, tr, .banner { break-inside: avoid; }
  thead { display: table-header-group; }
  .table { overflow: visible; }
  table { font-size: .82rem; }
  th, td { padding: .12rem .35rem; }
  .gallery { grid-template-columns: repeat(3, 1fr); }
  .gallery.wide { grid-template-columns: 1fr 1fr; }
  figure.picture img { max-height: 19cm; }
  .banner, nav, .paper { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
}
"""
# Nothing may be fetched, whatever a row holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title: str, body: Sequence[Html]) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )
