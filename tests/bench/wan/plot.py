"""A step plot of images over time as SVG. Curves differ by colour, by dash pattern and by their place in the key."""

import math
from html import escape

WIDTH, PLOT_HEIGHT, LEFT, RIGHT, TOP, AXIS = 820, 340, 64, 20, 40, 48
KEY_ROW, KEY_COLUMN = 20, 380
# Colours that differ for the colour-blind too (Okabe and Ito), with a dash pattern and a width for each.
STYLES = [
    ("#56b4e9", "8 4", 3.0), ("#0072b2", "", 3.0), ("#111111", "2 3", 2.5), ("#d55e00", "10 4 2 4", 2.0),
    ("#e69f00", "5 3", 2.0), ("#009e73", "14 5", 2.0),
]
FIRST_S = 0.1


def plot(title, curves, n_images):
    """`curves`: name to [(seconds, images readable by then)]; time is logarithmic because peers differ tenfold.

    A curve without points is left out and keeps its style for another plot.
    """
    last = max((points[-1][0] for points in curves.values() if points), default=1.0)
    end = max(last * 1.3, 1.0)
    decades = math.log10(end / FIRST_S)
    bottom = TOP + PLOT_HEIGHT
    shown = [(style, name, points) for style, (name, points) in zip(STYLES, curves.items()) if points]
    rows = math.ceil(len(shown) / 2)
    height = bottom + AXIS + rows * KEY_ROW + 12

    def x(seconds):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(seconds, FIRST_S) / FIRST_S) / decades

    def y(n):
        return bottom - PLOT_HEIGHT * n / (n_images * 1.04)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
           f'font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
           f'<text x="{LEFT}" y="24" font-size="16" font-weight="bold">{escape(title)}</text>']
    for tick in (m * 10**e for e in range(-1, 5) for m in (1, 2, 5)):
        if FIRST_S <= tick <= end:
            out.append(f'<path d="M{x(tick):.1f} {TOP}V{bottom}" stroke="#e3e5e8"/>'
                       f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
    for n in ticks_of(n_images):
        out.append(f'<path d="M{LEFT} {y(n):.1f}H{WIDTH - RIGHT}" stroke="#e3e5e8"/>'
                   f'<text x="{LEFT - 8}" y="{y(n) + 4:.1f}" text-anchor="end">{n}</text>')
    middle = TOP + PLOT_HEIGHT / 2
    out.append(f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="#444"/>'
               f'<text x="{(LEFT + WIDTH) / 2}" y="{bottom + 38}" text-anchor="middle">seconds after sending began '
               f'(logarithmic)</text><text x="18" y="{middle}" text-anchor="middle" '
               f'transform="rotate(-90 18 {middle})">images readable</text>')
    # The first curves are ours and lie on top.
    for index, ((colour, dash, width), name, points) in reversed(list(enumerate(shown))):
        line = f'fill="none" stroke="{colour}" stroke-width="{width}"' + (f' stroke-dasharray="{dash}"' if dash else "")
        path = f"M{LEFT} {y(0):.1f}" + "".join(f"H{x(s):.1f}V{y(n):.1f}" for s, n in points)
        key_x = LEFT + KEY_COLUMN * (index // rows)
        key_y = bottom + AXIS + 14 + KEY_ROW * (index % rows)
        out.append(f'<path d="{path}" {line}/><path d="M{key_x} {key_y - 4}h44" {line}/>'
                   f'<text x="{key_x + 52}" y="{key_y}">{escape(name)}</text>')
        if points[-1][1] == n_images:
            out.append(f'<circle cx="{x(points[-1][0]):.1f}" cy="{y(n_images):.1f}" r="4" fill="{colour}"/>')
    return "\n".join(out) + "\n</svg>\n"


def ticks_of(n_images):
    """Zero, all, and the quarters that are whole numbers."""
    return sorted({0, n_images, *(n_images * part // 4 for part in (1, 2, 3))})
