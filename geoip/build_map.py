#!/usr/bin/env python3
"""geoip/build_map.py FOLDER [--write]: makes the map of the HTML report.

FOLDER holds `countries-110m.json` and `countries-50m.json` of the npm package world-atlas 2.0.2 (ISC; the data is Natural
Earth 4.1.0, public domain). The numeric codes become letters by `iso_3166-1.json` of Debian's package iso-codes. Python
standard library only; same input, same bytes.

Out: `src/report/html/assets/world.tsv`, one line a country: code (`--` where ISO 3166-1 has none), the point where its marker
stands, and its outline as the path of an SVG, empty where the coarse data lacks it. The projection is Equal Earth (Savric,
Patterson, Jenny 2018), 1000 units wide; Antarctica is left out. Without --write, says whether the file is what would be written.
"""

import hashlib
import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "src/report/html/assets/world.tsv"
CODES = pathlib.Path("/usr/share/iso-codes/json/iso_3166-1.json")
SUMS = {
    "countries-110m.json": "2516c915867c7baf18ddec727aec46c315541a07cfb3d79a6559b05d5e94eee8",
    "countries-50m.json": "04342cdc1e3016bcd7db1630de95684d67b79fe3c8c460321e87aef469502394",
}
WIDTH = 1000
# Natural Earth draws Kosovo without a number; the program knows it as XK.
BY_NAME = {"Kosovo": "XK"}
LEFT_OUT = {"AQ"}
# Degrees between the points at which a label is tried.
TRIES = 28

A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796


def project(lon, lat):
    """Equal Earth, in radians of the unit sphere."""
    m = math.sqrt(3) / 2
    t = math.asin(m * math.sin(math.radians(lat)))
    t2 = t * t
    t6 = t2 * t2 * t2
    x = math.radians(lon) * math.cos(t) / (m * (A1 + 3 * A2 * t2 + t6 * (7 * A3 + 9 * A4 * t2)))
    return x, t * (A1 + A2 * t2 + t6 * (A3 + A4 * t2))


EDGE = project(180, 0)[0]
TOP = project(0, 84)[1]
SCALE = WIDTH / (2 * EDGE)


def place(lon, lat):
    x, y = project(lon, lat)
    return (x + EDGE) * SCALE, (TOP - y) * SCALE


def rings_of(topology):
    """Each country's polygons as rings of longitude and latitude."""
    sx, sy = topology["transform"]["scale"]
    tx, ty = topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * sx + tx, y * sy + ty))
        arcs.append(points)

    def ring(indices):
        points = []
        for index in indices:
            part = arcs[index] if index >= 0 else arcs[~index][::-1]
            points.extend(part[1:] if points else part)
        return points

    for country in topology["objects"]["countries"]["geometries"]:
        arcs_of = {"Polygon": [country.get("arcs")], "MultiPolygon": country.get("arcs")}.get(country["type"], [])
        yield country, [part for polygon in arcs_of for part in cut([ring(indices) for indices in polygon])]


def cut(polygon):
    """A polygon that crosses the antimeridian, as one polygon on each side of it."""
    unrolled = []
    for points in polygon:
        turn, out = 0, [points[0]]
        for (before, _), (lon, lat) in zip(points, points[1:]):
            turn += 360 if before - lon > 180 else -360 if lon - before > 180 else 0
            out.append((lon + turn, lat))
        unrolled.append(out)
    parts = []
    for shift in (-360, 0, 360):
        part = []
        for points in unrolled:
            moved = [(lon + shift, lat) for lon, lat in points]
            moved = clip(clip(moved, -180, 1), 180, -1)
            if len(moved) >= 3:
                part.append(moved)
        if part:
            parts.append(part)
    return parts


def clip(points, edge, side):
    """What lies to one side of a meridian."""
    out = []
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        a_in, b_in = (ax - edge) * side >= 0, (bx - edge) * side >= 0
        if a_in:
            out.append((ax, ay))
        if a_in != b_in:
            out.append((edge, ay + (by - ay) * (edge - ax) / (bx - ax)))
    return out


def area(points):
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1])) / 2


def path(polygons):
    """Outlines in whole units: a country's border is the same from both sides."""
    out = []
    for polygon in polygons:
        for points in polygon:
            rounded = []
            for lon, lat in points:
                x, y = place(lon, lat)
                point = (round(x * 2), round(y * 2))
                if not rounded or rounded[-1] != point:
                    rounded.append(point)
            if rounded and rounded[0] == rounded[-1]:
                rounded.pop()
            if len(rounded) < 3 or abs(area(rounded)) < 4:
                continue
            x, y = rounded[0]
            text = f"M{x} {y}l"
            steps = []
            for nx, ny in rounded[1:]:
                steps.append(f"{nx - x}{' ' if ny >= y else ''}{ny - y}")
                x, y = nx, ny
            joined = steps[0]
            for step in steps[1:]:
                joined += step if step.startswith("-") else " " + step
            out.append(text + joined + "z")
    return "".join(out)


def inside(polygon, x, y):
    odd = False
    for points in polygon:
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                odd = not odd
    return odd


def distance(polygon, x, y):
    best = math.inf
    for points in polygon:
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
            dx, dy = bx - ax, by - ay
            length = dx * dx + dy * dy
            t = 0 if length == 0 else max(0, min(1, ((x - ax) * dx + (y - ay) * dy) / length))
            best = min(best, math.hypot(x - ax - t * dx, y - ay - t * dy))
    return best


def label(polygons):
    """A point well inside of the largest part: the one of a grid that is farthest from the border."""
    flat = [[[place(*point) for point in points] for points in polygon] for polygon in polygons]
    largest = max(flat, key=lambda polygon: abs(area(polygon[0])))
    xs = [x for x, _ in largest[0]]
    ys = [y for _, y in largest[0]]
    best = (-1.0, sum(xs) / len(xs), sum(ys) / len(ys))
    for i in range(1, TRIES):
        for j in range(1, TRIES):
            x = min(xs) + (max(xs) - min(xs)) * i / TRIES
            y = min(ys) + (max(ys) - min(ys)) * j / TRIES
            if inside(largest, x, y):
                best = max(best, (distance(largest, x, y), x, y))
    return best[1], best[2]


def main():
    folder = pathlib.Path(sys.argv[1])
    letters = {entry["numeric"]: entry["alpha_2"] for entry in json.loads(CODES.read_text())["3166-1"]}
    topologies = {}
    for name, expected in SUMS.items():
        data = (folder / name).read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            sys.exit(f"{name}: SHA-256 {found}, expected {expected}")
        topologies[name] = json.loads(data)

    def code_of(country):
        name = country.get("properties", {}).get("name", "")
        return BY_NAME.get(name) or letters.get(str(country.get("id", "")).zfill(3), "--")

    outlines, nameless, labels = {}, [], {}
    for country, polygons in rings_of(topologies["countries-110m.json"]):
        code = code_of(country)
        if code in LEFT_OUT:
            continue
        if code == "--":
            nameless.append(path(polygons))
        else:
            outlines[code] = path(polygons)
    for country, polygons in rings_of(topologies["countries-50m.json"]):
        code = code_of(country)
        if code in LEFT_OUT or code == "--" or not polygons:
            continue
        size = max(abs(area([place(*point) for point in polygon[0]])) for polygon in polygons)
        if code not in labels or size > labels[code][0]:
            labels[code] = (size, *label(polygons))
    lines = []
    for code in sorted(set(outlines) | set(labels)):
        _, x, y = labels[code]
        lines.append(f"{code}\t{x:.1f}\t{y:.1f}\t{outlines.get(code, '')}")
    lines += [f"--\t0\t0\t{outline}" for outline in sorted(nameless) if outline]
    text = "\n".join(lines) + "\n"
    missing = sorted(set(letters.values()) - set(labels) - LEFT_OUT)
    print(f"{len(labels)} countries with a marker, {len(outlines)} with an outline, {len(text)} bytes")
    print(f"no marker: {' '.join(missing)}")
    if "--write" in sys.argv:
        OUT.write_text(text)
    elif OUT.read_text() != text:
        sys.exit(f"{OUT} is not what would be written")


main()
