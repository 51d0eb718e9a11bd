#!/usr/bin/env python3
"""Builds distances.bin: how far apart the nearest points of any two countries are at least.

In:  countries-50m.json of the npm package world-atlas 2.0.2 (Natural Earth 4.1.0, 1:50 million, public domain).
Out: magic "MSDIST1\\n"; u16 n; n codes of two letters, sorted; then for each pair i < j, row by row, u16 steps of 10 km, all
     little-endian. The figure never exceeds the true distance: see LEAST. 0 where nothing can be said.

Borders are as Natural Earth draws them: what it draws as part of a country (French Guiana, Hawaii, Svalbard) counts with it.
Needs numpy and scipy. Same input, same bytes.

  build_distances.py countries-50m.json distances.bin
"""

import json
import struct
import sys

import numpy as np
from scipy.spatial import cKDTree

# The least radius of curvature of the WGS 84 ellipsoid (at the equator, along the meridian): no true distance is shorter
# than the one on this sphere.
RADIUS_KM = 6335.4
# Points are set this near along each line of the drawing.
STEP_KM = 10.0
# What the drawing may be off: small islands left out near a coast, lines made simple, points set STEP_KM apart.
MARGIN_KM = 60.0
UNIT_KM = 10

# ISO 3166-1: numeric to alpha-2, for what the file draws.
NUMERIC = """004 AF 008 AL 010 AQ 012 DZ 016 AS 020 AD 024 AO 028 AG 031 AZ 032 AR 036 AU 040 AT 044 BS 048 BH 050 BD 051 AM 052 BB
056 BE 060 BM 064 BT 068 BO 070 BA 072 BW 076 BR 084 BZ 086 IO 090 SB 092 VG 096 BN 100 BG 104 MM 108 BI 112 BY 116 KH 120 CM
124 CA 132 CV 136 KY 140 CF 144 LK 148 TD 152 CL 156 CN 158 TW 170 CO 174 KM 178 CG 180 CD 184 CK 188 CR 191 HR 192 CU 196 CY
203 CZ 204 BJ 208 DK 212 DM 214 DO 218 EC 222 SV 226 GQ 231 ET 232 ER 233 EE 234 FO 238 FK 239 GS 242 FJ 246 FI 248 AX 250 FR
258 PF 260 TF 262 DJ 266 GA 268 GE 270 GM 275 PS 276 DE 288 GH 296 KI 300 GR 304 GL 308 GD 316 GU 320 GT 324 GN 328 GY 332 HT
334 HM 336 VA 340 HN 344 HK 348 HU 352 IS 356 IN 360 ID 364 IR 368 IQ 372 IE 376 IL 380 IT 384 CI 388 JM 392 JP 398 KZ 400 JO
404 KE 408 KP 410 KR 414 KW 417 KG 418 LA 422 LB 426 LS 428 LV 430 LR 434 LY 438 LI 440 LT 442 LU 446 MO 450 MG 454 MW 458 MY
462 MV 466 ML 470 MT 478 MR 480 MU 484 MX 492 MC 496 MN 498 MD 499 ME 500 MS 504 MA 508 MZ 512 OM 516 NA 520 NR 524 NP 528 NL
531 CW 533 AW 534 SX 540 NC 548 VU 554 NZ 558 NI 562 NE 566 NG 570 NU 574 NF 578 NO 580 MP 583 FM 584 MH 585 PW 586 PK 591 PA
598 PG 600 PY 604 PE 608 PH 612 PN 616 PL 620 PT 624 GW 626 TL 630 PR 634 QA 642 RO 643 RU 646 RW 652 BL 654 SH 659 KN 660 AI
662 LC 663 MF 666 PM 670 VC 674 SM 678 ST 682 SA 686 SN 688 RS 690 SC 694 SL 702 SG 703 SK 704 VN 705 SI 706 SO 710 ZA 716 ZW
724 ES 728 SS 729 SD 732 EH 740 SR 748 SZ 752 SE 756 CH 760 SY 762 TJ 764 TH 768 TG 776 TO 780 TT 784 AE 788 TN 792 TR 795 TM
796 TC 800 UG 804 UA 807 MK 818 EG 826 GB 831 GG 832 JE 833 IM 834 TZ 840 US 850 VI 854 BF 858 UY 860 UZ 862 VE 876 WF 882 WS
887 YE 894 ZM""".split()
ALPHA2 = dict(zip(NUMERIC[0::2], NUMERIC[1::2]))
# Drawn without a number of their own: with the country that most addresses there are filed under, so that its area grows.
UNNUMBERED = {"Kosovo": "XK", "N. Cyprus": "CY", "Somaliland": "SO", "Siachen Glacier": "IN",
              "Indian Ocean Ter.": "AU", "Ashmore and Cartier Is.": "AU"}


def arcs_of(topology):
    """the arcs as (longitude, latitude) arrays"""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    out = []
    for arc in topology["arcs"]:
        steps = np.cumsum(np.array(arc, dtype=float), axis=0)
        out.append(np.column_stack((steps[:, 0] * sx + tx, steps[:, 1] * sy + ty)))
    return out


def vectors(lonlat):
    lon, lat = np.radians(lonlat[:, 0]), np.radians(lonlat[:, 1])
    return np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))


def dense(arc):
    """points along an arc, at most STEP_KM apart"""
    points = vectors(arc)
    out = [points[:1]]
    for a, b in zip(points[:-1], points[1:]):
        chord = float(np.linalg.norm(b - a)) * RADIUS_KM
        parts = max(1, int(np.ceil(chord / STEP_KM)))
        t = np.linspace(0.0, 1.0, parts + 1)[1:, None]
        line = a + (b - a) * t
        out.append(line / np.linalg.norm(line, axis=1)[:, None])
    return np.concatenate(out)


def arc_numbers(geometry):
    def walk(item):
        if isinstance(item, int):
            yield item if item >= 0 else ~item
        else:
            for part in item:
                yield from walk(part)
    return set(walk(geometry.get("arcs", [])))


def main():
    source, target = sys.argv[1:3]
    with open(source, encoding="utf-8") as file:
        topology = json.load(file)
    arcs = [dense(arc) for arc in arcs_of(topology)]
    used = {}
    for geometry in topology["objects"]["countries"]["geometries"]:
        name = geometry["properties"]["name"]
        code = ALPHA2.get(geometry.get("id")) or UNNUMBERED.get(name)
        if code is None:
            print(f"left out: {name} ({geometry.get('id')})", file=sys.stderr)
            continue
        used.setdefault(code, set()).update(arc_numbers(geometry))
    codes = sorted(code for code, numbers in used.items() if numbers)
    trees = [cKDTree(np.concatenate([arcs[number] for number in sorted(used[code])])) for code in codes]

    out = bytearray(b"MSDIST1\n" + struct.pack("<H", len(codes)) + "".join(codes).encode())
    for i, left in enumerate(trees):
        for right in trees[i + 1:]:
            small, large = (left, right) if left.n < right.n else (right, left)
            chord = float(np.min(large.query(small.data)[0]))
            angle = 2.0 * np.arcsin(min(1.0, chord / 2.0))
            least = max(0.0, angle * RADIUS_KM - MARGIN_KM)
            out += struct.pack("<H", int(least // UNIT_KM))
    with open(target, "wb") as file:
        file.write(out)
    print(f"{len(codes)} countries, {len(out)} bytes")


if __name__ == "__main__":
    main()
