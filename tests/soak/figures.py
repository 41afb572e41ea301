"""What a soak's samples say: whether something grew, as a table for people and as a picture. Pure functions."""

import statistics

# What a process may hold at its end beyond what it held in its second quarter: an allocator's fragments, and a
# connection that is being opened while the sample is taken. A leak of one object a minute is more than that.
_MEMORY_SHARE, _MEMORY_BYTES = 0.05, 2 << 20
_FILES, _THREADS = 3, 2

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 860, 150, 70, 34, 56
_COLOURS = ("#1f6fb2", "#c4511c")


def quarter(samples, which):
    """The samples of the first (0) to the last (3) quarter of the time."""
    begin, end = samples[0]["seconds"], samples[-1]["seconds"]
    length = (end - begin) / 4
    return [one for one in samples if begin + which * length <= one["seconds"] <= begin + (which + 1) * length]


def medians(samples, name):
    """(of the second quarter, of the last): the first one is warming up."""
    return tuple(statistics.median(one[name] for one in quarter(samples, which)) for which in (1, 3))


def growth(samples, daemons):
    """What grew, each in a sentence; empty if nothing did."""
    found = []
    for daemon in daemons:
        for what, allowed in (("memory", lambda before: max(_MEMORY_BYTES, _MEMORY_SHARE * before)),
                              ("files", lambda _: _FILES), ("threads", lambda _: _THREADS)):
            before, after = medians(samples, f"{daemon} {what}")
            if after > before + allowed(before):
                found.append(f"{daemon}: {what} grew from {before:,.0f} to {after:,.0f}"
                             f" (medians of the second and the last quarter)")
    return found


def table(samples, daemons):
    """Lines of Markdown: the medians that growth() compares, and the share of a core."""
    lines = ["| | memory, 2nd quarter | memory, last quarter | peak | descriptors | threads | CPU of a core |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    length = samples[-1]["seconds"] - samples[0]["seconds"]
    for daemon in daemons:
        before, after = medians(samples, f"{daemon} memory")
        peak = max(one[f"{daemon} memory"] for one in samples)
        files, threads = (" → ".join(f"{value:.0f}" for value in medians(samples, f"{daemon} {what}"))
                          for what in ("files", "threads"))
        cpu = (samples[-1][f"{daemon} cpu"] - samples[0][f"{daemon} cpu"]) / length
        lines.append(f"| {daemon} | {before / 1e6:.1f} MB | {after / 1e6:.1f} MB | {peak / 1e6:.1f} MB | {files} | {threads} |"
                     f" {100 * cpu:.1f} % |")
    return lines


def plot(samples, daemons, outages, title):
    """An SVG: memory and CPU of each daemon over the minutes; outages (seconds) are grey lines."""
    minutes = samples[-1]["seconds"] / 60
    cpu = [{"seconds": after["seconds"],
            **{daemon: 100 * (after[f"{daemon} cpu"] - before[f"{daemon} cpu"]) / (after["seconds"] - before["seconds"])
               for daemon in daemons}} for before, after in zip(samples, samples[1:])]
    panels = [("resident memory, MB", [(one["seconds"], [one[f"{daemon} memory"] / 1e6 for daemon in daemons]) for one in samples]),
              ("CPU, % of a core", [(one["seconds"], [one[daemon] for daemon in daemons]) for one in cpu])]
    height = _TOP + len(panels) * (_HEIGHT + _GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="{_LEFT}" y="20" font-size="14">{title}</text>']
    for number, daemon in enumerate(daemons):
        out.append(f'<text x="{_LEFT + _WIDTH - 150 + 80 * number}" y="20" fill="{_COLOURS[number]}">{daemon}</text>')
    for number, (name, points) in enumerate(panels):
        top = _TOP + number * (_HEIGHT + _GAP) + 14
        most = 1.1 * max(max(values) for _, values in points) or 1

        def x(seconds):
            return _LEFT + _WIDTH * seconds / 60 / minutes

        def y(value, top=top, most=most):
            return top + _HEIGHT * (1 - value / most)
        out.append(f'<text x="{_LEFT}" y="{top - 5}">{name}</text>')
        for share in (0, 0.25, 0.5, 0.75, 1):
            out.append(f'<path d="M{_LEFT} {y(share * most):.1f}h{_WIDTH}" stroke="#ddd"/>'
                       f'<text x="{_LEFT - 6}" y="{y(share * most) + 4:.1f}" text-anchor="end">{share * most:.3g}</text>')
        for outage in outages:
            out.append(f'<path d="M{x(outage):.1f} {top}v{_HEIGHT}" stroke="#999" stroke-dasharray="3 3"/>')
        for step in range(7):
            out.append(f'<text x="{_LEFT + _WIDTH * step / 6:.1f}" y="{top + _HEIGHT + 16}" text-anchor="middle">{minutes * step / 6:.3g} min</text>')
        for daemon in range(len(daemons)):
            line = " ".join(f"{x(seconds):.1f},{y(values[daemon]):.1f}" for seconds, values in points)
            out.append(f'<polyline points="{line}" fill="none" stroke="{_COLOURS[daemon]}" stroke-width="1.5"/>')
    return "\n".join(out + ["</svg>"]) + "\n"
