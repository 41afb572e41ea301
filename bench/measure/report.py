"""Figures kept as JSON, as tables of Markdown, and the tables' places in docs/performance.md."""

import dataclasses
import json
import os
import re
import typing


@dataclasses.dataclass(frozen=True)
class Part:
    """What can be measured by itself. Its rows stand in a table of docs/performance.md, with those of other parts."""

    name: str
    what: str
    heading: typing.Callable  # of the table: lines
    place: str                # the table's name in docs/performance.md
    measure: typing.Callable  # sizes to figures, which JSON can hold
    rows: typing.Callable     # all that is kept to lines
    picture: typing.Callable | None = None  # its own figures to SVG, for docs/PLACE.svg

    def table(self, kept):
        return [*self.heading(kept), *self.rows(kept)]


class Kept:
    """{part's name: its figures}, in a folder of JSON files; and how busy the machine was with other things before each."""

    def __init__(self, folder):
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._kept = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}

    def keep(self, name, figures, others_busy):
        text = json.dumps({"othersBusy": others_busy, "figures": figures}, indent=1)
        (self._folder / f"{name}.json").write_text(text + "\n")
        self._kept[name] = json.loads(text)

    def __contains__(self, name):
        return name in self._kept

    def __getitem__(self, name):
        return self._kept[name]["figures"]

    def machine(self):
        """On what all this was measured, in a sentence."""
        busy = [one["othersBusy"] for one in self._kept.values()]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return (f"Measured on {os.cpu_count()} cores and {memory / (1 << 30):.0f} GiB of memory, of which cores other programs used"
                f" {100 * min(busy):.0f} to {100 * max(busy):.0f} % when the parts of this page began.")


def table_row(*cells):
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def heading(*cells):
    return [table_row(*cells), table_row(*("---" for _ in cells))]


def judged(target, holds):
    """A target with its verdict."""
    return f"{target}: {'met' if holds else '**missed**'}"


def number(value):
    """Three digits that count, without powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def size(value):
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= factor:
            return f"{number(value / factor)} {unit}"
    return f"{value:.0f} B"


def rewrite(docs, parts, kept):
    """Puts each table whose figures are kept between its marks, with the machine they are of, and each picture beside the page."""
    page = docs / "performance.md"
    text = page.read_text()
    places = {"machine": [kept.machine()]}
    for part in parts:
        if part.name in kept:
            lines = places.setdefault(part.place, part.heading(kept))
            lines += part.rows(kept)
            if part.picture:
                (docs / f"{part.place}.svg").write_text(part.picture(kept[part.name]))
    for place, lines in places.items():
        marked = re.compile(rf"(<!-- measured: {place} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = marked.subn(lambda match, lines=lines: match[1] + "\n".join(lines) + "\n" + match[2], text)
        if found != 1:
            raise SystemExit(f"{page} has {found} places for the table {place!r}")
    page.write_text(text)
