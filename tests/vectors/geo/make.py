#!/usr/bin/env python3
"""Makes the *.mmdb files here with mmdb_writer 0.2.7 (a writer that is not ours). Usage: make.py [DIR]

Field names follow each maker's published schema; all answers are invented and use documentation or
well-known addresses. The clock is set, so that the same bytes come out.
"""

import pathlib
import sys
import time

from mmdb_writer import MmdbU16, MMDBWriter
from netaddr import IPSet

BUILT = 1_767_225_600  # 2026-01-01T00:00:00Z
time.time = lambda: BUILT
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)


def make(name, database_type, records, ip_version=6):
    writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type=database_type,
                        languages=["en"], description=f"test data, {name}", int_type="u32")
    for networks, record in records:
        writer.insert_network(IPSet(networks), record)
    writer.to_db_file(str(OUT / f"{name}.mmdb"))


def nested(code, name, **more):
    return {"country": {"iso_code": code, "names": {"en": name, "de": name}}, **more}


# Nested, like GeoLite2-City and DB-IP City.
make("nested-city", "GeoLite2-City", [
    (["52.81.0.0/16"], nested("CN", "China", city={"names": {"en": "Beijing", "de": "Peking"}},
                              subdivisions=[{"iso_code": "BJ", "names": {"en": "Beijing Shi"}}],
                              registered_country={"iso_code": "US", "names": {"en": "United States"}})),
    (["213.19.144.0/24"], nested("FR", "France")),
    (["1.1.1.0/24"], nested("AU", "Australia", traits={"is_anycast": True})),
    (["2603:1063::/32"], nested("KR", "South Korea")),
    (["10.1.0.0/16"], nested("DE", "Germany", city={"names": {"en": "Bonn\x1b[31m"}})),
])
# Nested, AS, with the number as uint16 as some writers do.
make("nested-asn", "GeoLite2-ASN", [
    (["52.81.0.0/16"], {"autonomous_system_number": 55960, "autonomous_system_organization": "Test Guanghuan"}),
    (["3.7.35.0/24"], {"autonomous_system_number": MmdbU16(16509), "autonomous_system_organization": "Test Sixteen"}),
])
# Flat, like IPinfo Lite: all texts; the country is the address's.
make("flat-ipinfo", "ipinfo bundle_location_lite.mmdb", [
    (["52.81.0.0/16"], {"country": "China", "country_code": "CN", "continent": "Asia", "continent_code": "AS",
                        "asn": "AS55960", "as_name": "Test Flat", "as_domain": "example.com"}),
    (["213.19.144.0/24"], {"country": "Netherlands", "country_code": "NL", "continent": "Europe",
                           "asn": "AS30103", "as_name": "Test Zoom", "as_domain": "example.com"}),
    (["5.253.0.0/24"], {"country": "Unknown", "country_code": "EU", "continent": "Europe"}),
])
# Flat, like IPLocate's ip-to-asn: the country is where the AS is registered.
make("flat-iplocate-asn", "iplocate ip-to-asn", [
    (["52.81.0.0/16"], {"asn": 55960, "country_code": "CN", "name": "TEST-GUANGHUAN", "org": "Test Org"}),
    (["2603:1063::/32"], {"asn": 8075, "country_code": "US", "name": "TEST-EIGHT", "org": "Test Org"}),
])
# Flat, one field, IPv4 only, like the country files of ip-location-db.
make("flat-country-v4", "example-country", [
    (["52.81.0.0/16"], {"country_code": "CN"}),
    (["170.72.0.0/16"], {"country_code": "DE"}),
], ip_version=4)
# Sound, but about something else.
make("no-known-field", "Example-Connection-Type", [(["52.81.0.0/16"], {"connection_type": "Corporate"})])
