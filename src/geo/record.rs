//! One record of a MaxMind DB, whatever its maker calls the fields.
//!
//! In: a lookup result. Out: [`Fields`]. Understood: the nested names of MaxMind and DB-IP
//! (`country.iso_code`, `subdivisions`, `city.names.en`, `autonomous_system_number`) and the flat ones of
//! IPinfo, IPLocate and ip-location-db (`country_code`, `asn` as number or `AS123`, `as_name`).
//! A field of an unexpected type counts as absent; a broken pointer or an oversized record is an error.

use std::fmt;

use maxminddb::{LookupResult, MaxMindDbError, PathElement};
use serde::de::{self, Deserialize, Deserializer};

use crate::geo::country::Country;

/// Longest name taken from a database, in bytes; the longest AS name seen in real data is about 100.
const MAX_TEXT: usize = 256;

/// What a record says, in one vocabulary.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// The record has a country field, be it a pseudo code.
    pub(super) names_a_place: bool,
    /// Where the address is thought to be.
    pub(super) country: Option<Country>,
    /// Where the network's holder is registered (MaxMind's `registered_country`).
    pub(super) registered_country: Option<Country>,
    /// First-level subdivision.
    pub(super) subdivision: Option<String>,
    /// City.
    pub(super) city: Option<String>,
    /// AS number.
    pub(super) asn: Option<u32>,
    /// AS name or the organisation behind it.
    pub(super) as_name: Option<String>,
    /// Where the AS is registered.
    pub(super) as_country: Option<Country>,
    /// The maker marks the address as anycast.
    pub(super) anycast: bool,
}

type Path = &'static [PathElement<'static>];

/// `paths!(a / b, c)`: the places where a field may stand, the likeliest first.
macro_rules! paths {
    ($($($step:literal) / +),+) => { &[$(&[$(PathElement::Key($step)),+]),+] };
}

const NESTED_COUNTRY: &[Path] = paths!("country" / "iso_code", "country" / "code");
const FLAT_COUNTRY: &[Path] = paths!("country_code", "country_iso_code", "country");
const REGISTERED_COUNTRY: &[Path] = paths!("registered_country" / "iso_code");
const SUBDIVISION: &[Path] = &[
    &[
        PathElement::Key("subdivisions"),
        PathElement::Index(0),
        PathElement::Key("names"),
        PathElement::Key("en"),
    ],
    &[PathElement::Key("subdivisions"), PathElement::Index(0), PathElement::Key("iso_code")],
    &[PathElement::Key("region")],
    &[PathElement::Key("subdivision")],
    &[PathElement::Key("state1")],
];
const CITY: &[Path] = paths!("city" / "names" / "en", "city");
const ASN: &[Path] = paths!("autonomous_system_number", "asn", "traits" / "autonomous_system_number");
const AS_NAME: &[Path] = paths!(
    "autonomous_system_organization",
    "as_name",
    "name",
    "org",
    "traits" / "autonomous_system_organization"
);
const ANYCAST: &[Path] = paths!("traits" / "is_anycast", "is_anycast", "anycast");
/// Fields that only a record about the address itself carries, never one about its AS.
const ABOUT_THE_ADDRESS: &[Path] = paths!("continent", "continent_code", "country_name", "as_name", "city");

impl Fields {
    /// Reads a record; none where the database has nothing on the address.
    pub(super) fn read<S: AsRef<[u8]>>(result: &LookupResult<'_, S>) -> Result<Option<Self>, MaxMindDbError> {
        if !result.has_data() {
            return Ok(None);
        }
        let asn = first(result, ASN)?.and_then(|scalar| scalar.as_number());
        let nested = first(result, NESTED_COUNTRY)?.and_then(|scalar| scalar.text());
        let flat = match nested {
            Some(_) => None,
            None => first(result, FLAT_COUNTRY)?.and_then(|scalar| scalar.text()),
        };
        // IPLocate's AS file: `country_code` beside `asn` and `name` is where the AS is registered.
        let about_the_as = asn.is_some() && flat.is_some() && first(result, ABOUT_THE_ADDRESS)?.is_none();
        let code = nested.or(flat);
        let names_a_place = code.is_some() && !about_the_as;
        let parsed = code.as_deref().and_then(Country::parse);
        let (country, as_country) = if about_the_as { (None, parsed) } else { (parsed, None) };
        let mut fields =
            Self { names_a_place, country, as_country, asn: asn.filter(|n| *n != 0), ..Self::default() };
        if fields.asn.is_some() {
            fields.as_name = first(result, AS_NAME)?.and_then(|scalar| scalar.text());
        }
        if names_a_place {
            fields.registered_country = first(result, REGISTERED_COUNTRY)?
                .and_then(|scalar| scalar.text())
                .and_then(|code| Country::parse(&code));
            fields.subdivision = first(result, SUBDIVISION)?.and_then(|scalar| scalar.text());
            fields.city = first(result, CITY)?.and_then(|scalar| scalar.text());
        }
        fields.anycast = first(result, ANYCAST)?.is_some_and(|scalar| scalar.is_true());
        Ok(Some(fields))
    }
}

/// The first of `paths` that holds something usable.
fn first<'a, S: AsRef<[u8]>>(
    result: &LookupResult<'a, S>,
    paths: &[Path],
) -> Result<Option<Scalar<'a>>, MaxMindDbError> {
    for path in paths {
        match result.decode_path::<Scalar<'a>>(path) {
            Ok(Some(Scalar::Other) | None) | Err(MaxMindDbError::Decoding { .. }) => {}
            Ok(found) => return Ok(found),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A value that may stand for a field.
#[derive(Debug)]
enum Scalar<'a> {
    Text(&'a str),
    Number(u64),
    Truth(bool),
    /// A map, an array, bytes or a float.
    Other,
}

impl Scalar<'_> {
    /// The text without control characters (it goes to terminals) and cut at [`MAX_TEXT`].
    fn text(&self) -> Option<String> {
        let &Self::Text(raw) = self else { return None };
        let clean = clean(raw);
        (!clean.is_empty()).then_some(clean)
    }

    /// `123`, `"123"` or `"AS123"`.
    fn as_number(&self) -> Option<u32> {
        match *self {
            Self::Number(number) => u32::try_from(number).ok(),
            Self::Text(raw) => {
                let digits = raw.strip_prefix("AS").or_else(|| raw.strip_prefix("as")).unwrap_or(raw);
                digits.parse().ok()
            }
            Self::Truth(_) | Self::Other => None,
        }
    }

    /// A boolean, or the word or number for it that flat files use.
    fn is_true(&self) -> bool {
        match *self {
            Self::Truth(truth) => truth,
            Self::Number(number) => number == 1,
            Self::Text(raw) => matches!(raw, "true" | "True" | "1"),
            Self::Other => false,
        }
    }
}

/// `raw` without control characters, at most [`MAX_TEXT`] bytes of it.
pub(super) fn clean(raw: &str) -> String {
    let mut out = String::new();
    for character in raw.chars().filter(|character| !character.is_control()) {
        if out.len().saturating_add(character.len_utf8()) > MAX_TEXT {
            break;
        }
        out.push(character);
    }
    out.trim().to_owned()
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> de::Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a truth value")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(value).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Truth(value))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(Scalar::Other)
    }
}
