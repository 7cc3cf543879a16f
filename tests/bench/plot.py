"""Lines over connections as SVG: no library, nothing to install."""

import math
from html import escape

COLOURS = ["#6b7280", "#0b6bcb", "#1aa39a", "#c2410c", "#b45309", "#7c3aed", "#be123c"]
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 460, 300, 64, 34, 40


def ticks(low, high):
    """Powers of ten, with 2 and 5 between them when there are few."""
    steps = (1, 2, 5) if math.log10(high / low) < 3 else (1,)
    found = []
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        found += [step * 10.0 ** power for step in steps]
    return [each for each in found if low <= each <= high]


def short(value):
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return "%g%s" % (value / size, unit)
    return "%g" % value


class Panel:
    """Both axes are logarithmic. lines: {name: [(x, y), …]}."""

    def __init__(self, title, lines):
        self.title, self.lines = title, lines
        self.xs = sorted({x for line in lines.values() for x, _ in line})
        ys = [y for line in lines.values() for _, y in line]
        self.low, self.high = min(ys) / 1.3, max(ys) * 1.3

    def x(self, value):
        low, high = math.log(self.xs[0]), math.log(self.xs[-1])
        share = (math.log(value) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - 16)

    def y(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    def draw(self, left, top, colours):
        out = ['<g transform="translate(%d %d)">' % (left, top),
               '<text x="%d" y="20" font-weight="bold">%s</text>' % (LEFT, escape(self.title))]
        for value in ticks(self.low, self.high):
            y = self.y(value)
            out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>' % (LEFT, WIDTH - 16, y, y))
            out.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>' % (LEFT - 6, y + 4, short(value)))
        for value in self.xs:
            out.append('<text x="%.1f" y="%d" text-anchor="middle">%d</text>' % (
                self.x(value), HEIGHT - BOTTOM + 16, value))
        out.append('<text x="%d" y="%d" text-anchor="middle">connections</text>' % (
            (LEFT + WIDTH) // 2, HEIGHT - 8))
        for name, line in self.lines.items():
            points = " ".join("%.1f,%.1f" % (self.x(x), self.y(y)) for x, y in sorted(line))
            out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>' % (points, colours[name]))
            out += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (self.x(x), self.y(y), colours[name])
                    for x, y in line]
        return out + ["</g>"]


def plot(rows, names):
    """rows: lists of panels, drawn side by side; names: of all lines, in the order of the legend."""
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    columns = max(len(row) for row in rows)
    width, height = columns * WIDTH, len(rows) * HEIGHT + 20 * len(names) + 20
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" '
           'font-size="12">' % (width, height), '<rect width="100%" height="100%" fill="white"/>']
    for number, row in enumerate(rows):
        for column, panel in enumerate(row):
            out += panel.draw(column * WIDTH, number * HEIGHT, colours)
    for number, name in enumerate(names):
        y = len(rows) * HEIGHT + 16 + 20 * number
        out.append('<rect x="%d" y="%d" width="14" height="4" fill="%s"/>' % (LEFT, y - 6, colours[name]))
        out.append('<text x="%d" y="%d">%s</text>' % (LEFT + 20, y, escape(name)))
    return "\n".join(out + ["</svg>"]) + "\n"
