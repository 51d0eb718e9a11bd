//! Truth: the columns `ipfire0926` and "AS in 2022 data" that were read from the sources with their own
//! tools; small files made by someone else's writer (`tests/vectors/geo/make.py`); sums of the files.

use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn vector(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/geo")).join(name)
}

fn with(files: &[&str]) -> Databases {
    let mut databases = Databases::embedded().unwrap();
    for file in files {
        databases.add_file(&vector(file)).unwrap();
    }
    databases
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn code(country: Option<Country>) -> String {
    country.map_or_else(|| "-".to_owned(), |country| country.code().to_owned())
}

/// Address, country in the data of 2026-09-23, AS and its name in the data of 2022-10-29.
const SURVEY: &[(&str, &str, u32, &str)] = &[
    ("52.81.151.250", "CN", 55960, "Beijing Guanghuan Xinwang Digital"),
    ("52.80.0.1", "CN", 55960, "Beijing Guanghuan Xinwang Digital"),
    ("52.82.0.1", "CN", 135_629, "Ningxia West Cloud Data Technology Co.Ltd."),
    ("54.222.0.1", "CN", 55960, "Beijing Guanghuan Xinwang Digital"),
    ("203.205.0.1", "VN", 45903, "CMC Telecom Infrastructure Company"),
    ("47.88.0.1", "US", 45102, "Alibaba (US) Technology Co., Ltd."),
    ("115.110.154.128", "IN", 4755, "Tata Communications Limited"),
    ("170.114.0.1", "US", 14618, "AMAZON-AES"),
    ("3.7.35.1", "IN", 16509, "AMAZON-02"),
    ("3.235.69.1", "US", 14618, "AMAZON-AES"),
    ("13.107.64.1", "US", 8075, "MICROSOFT-CORP-MSN-AS-BLOCK"),
    ("52.112.0.1", "US", 8075, "MICROSOFT-CORP-MSN-AS-BLOCK"),
    ("52.122.0.1", "US", 8069, "MICROSOFT-CORP-MSN-AS-BLOCK"),
    ("142.250.82.1", "US", 15169, "GOOGLE"),
    ("74.125.250.129", "US", 15169, "GOOGLE"),
    ("66.163.36.1", "US", 13445, "13445"),
    ("170.72.0.1", "US", 13445, "13445"),
    ("64.68.96.1", "US", 13445, "13445"),
    ("213.19.144.104", "GB", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("162.255.37.11", "US", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("120.29.148.1", "JP", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("173.231.80.1", "US", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("207.226.132.1", "HK", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("221.122.88.64", "CN", 23724, "IDC, China Telecommunications Corporation"),
    ("111.33.115.1", "CN", 38019, "China Mobile"),
    ("8.5.128.1", "US", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("2620:123:2000::1", "US", 30103, "ZOOM-VIDEO-COMM-AS"),
    ("2603:1063::1", "KR", 8075, "MICROSOFT-CORP-MSN-AS-BLOCK"),
    ("2001:4860:4864:6::1", "US", 15169, "GOOGLE"),
    ("5.253.0.1", "DE", 47447, "23M GmbH"),
];

#[test]
fn embedded_data_answers_the_survey_as_its_sources_do() {
    let databases = Databases::embedded().unwrap();
    for (address, country, asn, name) in SURVEY {
        let place = databases.lookup(ip(address));
        assert_eq!(code(place.located_in.country), *country, "{address}");
        let by = place.operated_by.unwrap();
        assert_eq!((by.asn, by.date.as_str()), (*asn, "2022-10-29"), "{address}");
        // The survey cut long names short.
        assert!(by.name.starts_with(name), "{address}: {}", by.name);
        assert_eq!(by.registrant_country, None);
        let expected = if ip(address).is_ipv6() { Confidence::Low } else { Confidence::Medium };
        assert_eq!(place.located_in.confidence, expected, "{address}");
        assert_eq!((place.special, place.unreadable.len()), (None, 0));
    }
}

#[test]
fn embedded_data_is_what_its_sums_say_and_sound_throughout() {
    let sums = include_str!("../../geoip/SHA256SUMS");
    let readme = include_str!("../../geoip/README.md");
    assert!(readme.contains(ASN.sha256));
    for data in [&COUNTRY, &ASN] {
        assert!(sums.contains(&format!("{}  {}", data.sha256, data.name)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(data.name);
        std::fs::write(&path, data.bytes).unwrap();
        let hashed = Database::open(&path).unwrap().info().unwrap();
        assert_eq!(hashed.sha256, data.sha256);
        assert_eq!(hashed.kind, data.kind, "probing a file agrees with what is known of it");
        assert_eq!(Databases::verify_file(&path).unwrap().build_time, hashed.build_time);
    }
}

#[test]
fn info_tells_date_licence_and_source() {
    let info = with(&["nested-city.mmdb"]).info();
    let rows: Vec<_> =
        info.iter().map(|row| (row.name.as_str(), row.build_date.as_str(), row.kind)).collect();
    assert_eq!(
        rows,
        [
            ("GeoLite2-City", "2026-01-01", DatabaseKind::City),
            ("IPFire-Location-Country", "2026-09-23", DatabaseKind::Country),
            ("IPFire-Location-ASN", "2022-10-29", DatabaseKind::Asn),
        ]
    );
    assert!(info[0].source.ends_with("nested-city.mmdb"));
    assert!(info[0].licence.contains("not to be passed on"));
    assert_eq!((info[1].source.as_str(), info[1].licence.as_str()), ("embedded", "CC BY-SA 4.0"));
    assert!(info[2].attribution.contains("IPFire Location") && info[2].description.contains("2022-10-29"));
    assert!(info.iter().all(|row| row.sha256.len() == 64));
}

#[test]
fn user_file_comes_first_and_agreement_of_two_makers_is_high() {
    let place = with(&["nested-city.mmdb"]).lookup(ip("52.81.151.250"));
    let located = &place.located_in;
    assert_eq!((code(located.country).as_str(), located.confidence), ("CN", Confidence::High));
    let first = &located.answers[0];
    assert_eq!((first.city.as_deref(), first.subdivision.as_deref()), (Some("Beijing"), Some("Beijing Shi")));
    assert_eq!(
        located.sentence(),
        "database GeoLite2-City of 2026-01-01 places it in Beijing, Beijing Shi, China (CN); \
         database IPFire-Location-Country of 2026-09-23 places it in China (CN)"
    );
}

#[test]
fn disagreement_is_shown_with_every_answer_and_lowers_confidence() {
    let place = with(&["nested-city.mmdb", "flat-ipinfo.mmdb"]).lookup(ip("213.19.144.104"));
    let located = &place.located_in;
    let answers: Vec<_> = located.answers.iter().map(|answer| code(answer.country)).collect();
    assert_eq!(answers, ["FR", "NL", "GB"]);
    assert!(located.disagreement);
    assert_eq!((code(located.country).as_str(), located.confidence), ("FR", Confidence::Low));
    assert!(located.sentence().ends_with("places it in United Kingdom (GB); they disagree"));
}

#[test]
fn same_maker_twice_is_one_witness() {
    let place = with(&["nested-city.mmdb", "nested-city.mmdb"]).lookup(ip("2603:1063::1"));
    assert_eq!(place.located_in.answers.len(), 3);
    assert_eq!(place.located_in.confidence, Confidence::High, "MaxMind and IPFire are two");
    let mut own = Databases::empty();
    own.add_file(&vector("nested-city.mmdb")).unwrap();
    own.add_file(&vector("nested-city.mmdb")).unwrap();
    assert_eq!(own.lookup(ip("2603:1063::1")).located_in.confidence, Confidence::Low);
    assert_eq!(own.lookup(ip("213.19.144.1")).located_in.confidence, Confidence::Medium);
}

#[test]
fn flat_schemas_are_read() {
    let ipinfo = with(&["flat-ipinfo.mmdb"]);
    assert_eq!(ipinfo.info()[0].kind, DatabaseKind::CountryAsn);
    let place = ipinfo.lookup(ip("52.81.0.1"));
    assert_eq!(code(place.located_in.answers[0].country), "CN");
    let by = place.operated_by.unwrap();
    assert_eq!((by.asn, by.name.as_str(), by.registrant_country), (55960, "Test Flat", None));

    let v4 = with(&["flat-country-v4.mmdb"]);
    assert_eq!(v4.info()[0].ip_version, 4);
    assert_eq!(code(v4.lookup(ip("170.72.0.1")).located_in.country), "DE");
    assert_eq!(v4.lookup(ip("2603:1063::1")).located_in.answers.len(), 1, "IPv4-only file is silent on IPv6");
}

#[test]
fn country_beside_a_bare_asn_is_the_registrants_not_a_place() {
    let databases = with(&["flat-iplocate-asn.mmdb", "nested-asn.mmdb"]);
    assert_eq!(databases.info()[0].kind, DatabaseKind::Asn);
    let place = databases.lookup(ip("2603:1063::1"));
    assert_eq!(place.located_in.answers.len(), 1);
    assert_eq!(code(place.located_in.country), "KR");
    let by = place.operated_by.unwrap();
    assert_eq!((by.asn, code(by.registrant_country).as_str()), (8075, "US"));
    let sixteen = databases.lookup(ip("3.7.35.1")).operated_by.unwrap();
    assert_eq!((sixteen.asn, sixteen.name.as_str()), (16509, "Test Sixteen"), "uint16 is read too");
}

#[test]
fn pseudo_code_is_an_answer_without_a_country() {
    let place = with(&["flat-ipinfo.mmdb"]).lookup(ip("5.253.0.1"));
    assert_eq!(place.located_in.answers[0].country, None);
    assert_eq!(code(place.located_in.country), "DE");
    assert!(!place.located_in.disagreement);
    assert_eq!(place.located_in.confidence, Confidence::Medium);
    assert!(place.located_in.sentence().contains("of 2026-01-01 names no country for it; database"));
}

#[test]
fn anycast_mark_lowers_confidence() {
    let place = with(&["nested-city.mmdb"]).lookup(ip("1.1.1.1"));
    assert!(place.located_in.anycast);
    assert_eq!(place.located_in.confidence, Confidence::Low);
}

#[test]
fn private_addresses_are_nobodys_unless_the_users_file_knows_them() {
    let plain = Databases::embedded().unwrap();
    let all = [
        "10.1.2.3",
        "192.168.1.1",
        "172.16.0.9",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.0.1",
        "224.0.0.1",
        "fe80::1",
    ];
    for address in all {
        let place = plain.lookup(ip(address));
        assert!(place.special.is_some(), "{address}");
        assert_eq!((place.located_in, place.operated_by), (LocatedIn::default(), None), "{address}");
    }
    let place = with(&["nested-city.mmdb"]).lookup(ip("10.1.2.3"));
    assert_eq!((code(place.located_in.country).as_str(), place.special), ("DE", Some(Special::Private)));
    assert_eq!(place.located_in.answers[0].city.as_deref(), Some("Bonn[31m"), "no escape codes to terminals");
}

#[test]
fn nat64_address_is_placed_by_the_ipv4_server_behind_it() {
    let databases = Databases::embedded().unwrap();
    let place = databases.lookup(ip("64:ff9b::3451:97fa"));
    assert_eq!((code(place.located_in.country).as_str(), place.special), ("CN", Some(Special::Nat64)));
    assert_eq!(place.located_in.confidence, Confidence::Medium, "an IPv4 answer");
    let private = databases.lookup(ip("64:ff9b::a00:1"));
    assert_eq!(private.located_in.country, None);
}

#[test]
fn capture_far_from_the_database_lowers_confidence_one_step() {
    let day = |days: i64| Some(Timestamp::from_secs_nanos(1_790_138_131 + days * 86_400, 0));
    let plain = Databases::embedded().unwrap();
    let server = ip("52.81.151.250");
    for (days, expected) in
        [(0, Confidence::Medium), (180, Confidence::Medium), (181, Confidence::Low), (-181, Confidence::Low)]
    {
        let place = plain.lookup_at(server, day(days));
        assert_eq!(place.located_in.confidence, expected, "{days}");
        let apart = u32::try_from(days.abs()).unwrap();
        assert_eq!(place.located_in.answers[0].days_from_capture, Some(apart));
    }
    // 2026-01-01 and 2026-09-23: both near June, one near December, none near 2020.
    let two = with(&["nested-city.mmdb"]);
    for (days, expected) in [(-100, Confidence::High), (80, Confidence::Medium), (-2400, Confidence::Medium)]
    {
        assert_eq!(two.lookup_at(server, day(days)).located_in.confidence, expected, "{days}");
    }
}

#[test]
fn exposure_is_the_union_with_each_reason_source_and_date() {
    let place = with(&["nested-city.mmdb", "flat-iplocate-asn.mmdb"]).lookup(ip("52.81.151.250"));
    let zoom =
        OperatorClaim { operator: "Example Inc.", country: "US", source: "filing", date: "2026-02-27" };
    let pseudo = OperatorClaim { country: "EU", ..zoom };
    let all = exposures(&place, &[zoom, zoom, pseudo]);
    let rows: Vec<_> = all
        .iter()
        .map(|one| (one.jurisdiction.as_str(), one.basis, one.source.as_str(), one.date.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("CN", Basis::LocatedIn, "GeoLite2-City", "2026-01-01"),
            ("CN", Basis::LocatedIn, "IPFire-Location-Country", "2026-09-23"),
            ("US", Basis::RegisteredIn, "GeoLite2-City", "2026-01-01"),
            ("CN", Basis::OperatedBy, "iplocate ip-to-asn", "2026-01-01"),
            ("US", Basis::ServiceOperator, "filing", "2026-02-27"),
        ]
    );
    assert!(all.iter().all(|one| !one.reason.contains(" is in ")));
}

#[test]
fn record_keeps_the_names_of_the_report() {
    let place = Databases::embedded().unwrap().lookup(ip("207.226.132.1"));
    assert_eq!(
        serde_json::to_value(&place).unwrap(),
        serde_json::json!({
            "located_in": {
                "country": "HK",
                "confidence": "medium",
                "answers": [{"database": "IPFire-Location-Country", "date": "2026-09-23", "country": "HK"}],
                "disagreement": false,
            },
            "operated_by": {
                "asn": 30103, "name": "ZOOM-VIDEO-COMM-AS", "registrant_country": null,
                "database": "IPFire-Location-ASN", "date": "2022-10-29",
            },
        })
    );
    let schema = serde_json::to_string(&schemars::schema_for!(Place)).unwrap();
    assert!(schema.contains("\"located_in\"") && schema.contains("^[A-Z]{2}$"));
}

#[test]
fn file_that_is_no_database_is_refused_with_its_name_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let mut databases = Databases::empty();
    let mut refusal = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        databases.add_file(&path).unwrap_err().to_string()
    };
    let empty = refusal("empty.mmdb", b"");
    assert!(
        empty.contains("empty.mmdb")
            && empty.contains("metadata marker")
            && empty.contains("the file is empty")
    );
    assert!(refusal("a.gz", b"\x1f\x8b\x08rest").contains("unpack it first"));
    assert!(refusal("a.csv", b"1.0.0.0,1.0.0.255,AU\n").contains("begins like text"));
    let marker = refusal("marker.mmdb", b"....\xab\xcd\xefMaxMind.com");
    assert!(marker.contains("broken or truncated") && marker.contains("marker.mmdb"), "{marker}");

    let directory = databases.add_file(folder.path()).unwrap_err();
    assert_eq!(directory, GeoError::NotAFile { path: folder.path().into() });
    let absent = databases.add_file(&folder.path().join("absent.mmdb")).unwrap_err();
    assert!(matches!(absent, GeoError::Read { kind: std::io::ErrorKind::NotFound, .. }), "{absent}");
    let huge = folder.path().join("huge.mmdb");
    std::fs::File::create(&huge).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(databases.add_file(&huge), Err(GeoError::TooLarge { .. })), "not read, a sparse file");
    let other = databases.add_file(&vector("no-known-field.mmdb")).unwrap_err();
    assert!(other.to_string().contains("Example-Connection-Type"), "{other}");
    assert!(databases.info().is_empty(), "a refused file is not added");
}

#[test]
fn whole_file_check_passes_sound_files_and_names_a_cut_one() {
    assert_eq!(Databases::verify_file(&vector("nested-city.mmdb")).unwrap().kind, DatabaseKind::City);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mmdb");
    let bytes = std::fs::read(vector("nested-city.mmdb")).unwrap();
    // The last data byte before the marker is lost, so that records run into the metadata.
    let marker = bytes.windows(14).rposition(|window| window == b"\xab\xcd\xefMaxMind.com").unwrap();
    std::fs::write(&path, [&bytes[..marker - 40], &bytes[marker..]].concat()).unwrap();
    let error = Databases::verify_file(&path).unwrap_err();
    assert!(error.to_string().contains("cut.mmdb"), "{error}");
}

/// Opens `bytes` as a user's file and asks it everything; errors are fine, a panic is not.
fn torture(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let mut databases = Databases::empty();
    if databases.add_file(path).is_ok() {
        for (address, ..) in SURVEY {
            let place = databases.lookup(ip(address));
            let _ = (place.located_in.sentence(), exposures(&place, &[]));
        }
        databases.lookup(ip("10.1.2.3"));
        databases.info();
        let _ = Databases::verify_file(path);
    }
}

#[test]
fn file_cut_anywhere_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mmdb");
    for name in ["nested-city.mmdb", "flat-ipinfo.mmdb", "flat-country-v4.mmdb"] {
        let bytes = std::fs::read(vector(name)).unwrap();
        for length in 0..bytes.len() {
            torture(&path, &bytes[..length]);
        }
        for start in (1..bytes.len()).step_by(5) {
            torture(&path, &bytes[start..]);
        }
    }
}

static SHARED: LazyLock<Databases> = LazyLock::new(|| Databases::embedded().unwrap());

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn file_with_flipped_bytes_never_panics(
        which in 0_usize..3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let name = ["nested-city.mmdb", "flat-iplocate-asn.mmdb", "flat-country-v4.mmdb"][which];
        let mut bytes = std::fs::read(vector(name)).unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let folder = tempfile::tempdir().unwrap();
        torture(&folder.path().join("flipped.mmdb"), &bytes);
    }

    #[test]
    fn any_address_has_an_answer_without_panic(bits in any::<u128>(), v4 in any::<u32>()) {
        let _ = SHARED.lookup(IpAddr::V6(bits.into())).located_in.sentence();
        let _ = SHARED.lookup(IpAddr::V4(v4.into()));
    }
}

/// Prints; for `cargo nextest run --run-ignored only geo::tests::cost --no-capture`.
#[test]
#[ignore = "measures, decides nothing"]
#[expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measurement needs a clock and a voice"
)]
fn cost_of_opening_and_asking() {
    use std::time::Instant;
    let start = Instant::now();
    let databases = Databases::embedded().unwrap();
    let opened = start.elapsed();
    let start = Instant::now();
    databases.lookup(ip("52.81.151.250"));
    let first = start.elapsed();
    let start = Instant::now();
    let rounds = 100_000_u32;
    for round in 0..rounds {
        std::hint::black_box(databases.lookup(IpAddr::V4((round.wrapping_mul(2_654_435_761)).into())));
    }
    eprintln!("open {opened:?}, first lookup {first:?}, then {:?} each", start.elapsed() / rounds);
}
