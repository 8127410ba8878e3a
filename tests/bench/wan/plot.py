"""A step plot of images over time as SVG, readable in light and dark pages."""

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 360, 56, 44, 34, 16
COLOURS = ["#d7263d", "#8c1c2b", "#6b7280", "#2563eb", "#0d9488"]


def plot(title, curves, n_images):
    """`curves`: name to [(seconds, images readable by then)]; time is logarithmic because peers differ tenfold."""
    import math

    last = max((points[-1][0] for points in curves.values() if points), default=1.0)
    first = 0.1
    decades = math.log10(max(last * 1.1, 1.0) / first)
    x = lambda seconds: LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(seconds, first) / first) / decades
    y = lambda n: HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * n / n_images
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
           f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{title}</text>']
    ticks = [m * 10**e for e in range(-1, 4) for m in (1, 2, 5) if first <= m * 10**e <= last * 1.1]
    for tick in ticks:
        out.append(f'<path d="M{x(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e7eb"/>'
                   f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>')
    for n in sorted({0, n_images // 2, n_images}):
        out.append(f'<path d="M{LEFT} {y(n):.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>'
                   f'<text x="{LEFT - 6}" y="{y(n) + 4:.1f}" text-anchor="end">{n}</text>')
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">seconds after sending began</text>')
    for index, (name, points) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = f"M{x(first):.1f} {y(0):.1f}" + "".join(f"H{x(s):.1f}V{y(n):.1f}" for s, n in points)
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{LEFT + 10}" y="{TOP + 14 + 16 * index}" fill="{colour}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"
