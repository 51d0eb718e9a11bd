#!/bin/sh
# Rebuilds country.mmdb and asn.mmdb from their published sources and says whether the bytes came out
# the same. Needs cargo, apt-get (Debian 12 or a system with its package lists), dpkg-deb, python3.
#
#   geoip/build.sh            rebuild in a temporary directory and compare with SHA256SUMS
#   geoip/build.sh --write    rebuild and replace the files here; then update SHA256SUMS, README.md and the
#                             dates and sums in src/geo/mod.rs
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

crate=tor-geoip-db
crate_version=0.1.1
deb=libloc-database
deb_version=0~20221029-1

# Country: a crate, fetched by cargo into a home of its own so that no other copy can stand in.
mkdir -p "$work/fetch/src" "$work/cargo"
printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n' \
    "$crate" "$crate_version" > "$work/fetch/Cargo.toml"
: > "$work/fetch/src/lib.rs"
# Registry settings of the user (a mirror, say) still apply.
for config in config.toml config; do
    if [ -f "${CARGO_HOME:-$HOME/.cargo}/$config" ]; then cp "${CARGO_HOME:-$HOME/.cargo}/$config" "$work/cargo/"; fi
done
CARGO_HOME="$work/cargo" cargo fetch --quiet --manifest-path "$work/fetch/Cargo.toml"
country=$(echo "$work"/cargo/registry/src/*/"$crate-$crate_version")

# AS numbers: a Debian package.
(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$deb=$deb_version" && dpkg-deb -x "$deb"_*.deb deb)
location="$work/deb/usr/share/libloc-location/location.db"

# The inputs are what they were.
(cd "$work" && cp cargo/registry/cache/*/"$crate-$crate_version.crate" . && cp "$deb"_*.deb "$deb.deb" \
    && sha256sum --check --quiet "$here/SOURCES.sha256")

mkdir "$work/out"
python3 "$here/build.py" --country-crate "$country" --location-db "$location" --out "$work/out"

if [ "${1:-}" = --write ]; then
    cp "$work/out/country.mmdb" "$work/out/asn.mmdb" "$here/"
    (cd "$here" && sha256sum asn.mmdb country.mmdb > SHA256SUMS)
fi
(cd "$work/out" && sha256sum --check "$here/SHA256SUMS")
