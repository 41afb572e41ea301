"""Growth as a picture: an SVG of small panels with logarithmic axes, in which a straight grey line is linear growth."""

import math

_PANEL, _HEIGHT, _LEFT, _TOP, _GAP, _ACROSS = 220, 150, 56, 64, 60, 3
_COLOUR = "#1f6fb2"


def growth(title, counted, panels):
    """panels: (name, [(n, value)]) each; `counted` names n. What was too little to be measured is left out."""
    panels = [(name, [(n, value) for n, value in points if value > 0]) for name, points in panels]
    panels = [(name, points) for name, points in panels if len(points) > 1]
    down = math.ceil(len(panels) / _ACROSS)
    width, height = _LEFT + _ACROSS * (_PANEL + _GAP), _TOP + down * (_HEIGHT + _GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="{_LEFT}" y="20" font-size="14">{title}</text>',
           f'<text x="{_LEFT}" y="38" fill="#777">over the number of {counted}; both axes logarithmic; grey: linear growth</text>']
    for place, (name, points) in enumerate(panels):
        out += _panel(name, points, _LEFT + place % _ACROSS * (_PANEL + _GAP), _TOP + place // _ACROSS * (_HEIGHT + _GAP))
    return "\n".join(out + ["</svg>"]) + "\n"


def _panel(name, points, left, top):
    first, last = points[0][0], points[-1][0]
    values = [value for _, value in points] + [points[0][1] * last / first]
    low, high = _decade(min(values), math.floor), _decade(max(values), math.ceil)
    high = max(high, 10 * low)

    def x(n):
        return left + _PANEL * math.log(n / first) / math.log(last / first)

    def y(value):
        return top + _HEIGHT * (1 - math.log(value / low) / math.log(high / low))

    out = [f'<text x="{left}" y="{top - 7}">{name}</text>']
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = y(10.0 ** power)
        out.append(f'<path d="M{left} {at:.1f}h{_PANEL}" stroke="#ddd"/>'
                   f'<text x="{left - 5}" y="{at + 4:.1f}" text-anchor="end">{_short(10.0 ** power)}</text>')
    linear = f"M{x(first):.1f} {y(points[0][1]):.1f}L{x(last):.1f} {y(points[0][1] * last / first):.1f}"
    out.append(f'<path d="{linear}" stroke="#999" stroke-dasharray="4 3"/>')
    line = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in points)
    out.append(f'<polyline points="{line}" fill="none" stroke="{_COLOUR}" stroke-width="1.5"/>')
    for n, value in points:
        out.append(f'<circle cx="{x(n):.1f}" cy="{y(value):.1f}" r="3" fill="{_COLOUR}"/>'
                   f'<text x="{x(n):.1f}" y="{top + _HEIGHT + 15}" text-anchor="middle">{_short(n)}</text>')
    return out


def _decade(value, way):
    return 10.0 ** way(math.log10(value))


def _short(value):
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            return f"{value / factor:g}{unit}"
    return f"{value:g}"
