//! Networks whose addresses say little of a place: front ends that stand before others' machines, and addresses that are announced
//! in many places at once.
//!
//! In: `geoip/networks.toml`, an address and the AS that announces it. Out: [`KnownNetwork`], with its source. A row that nobody has
//! checked is shown as such and changes no confidence.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::geo::date::Date;
use crate::geo::error::TableError;
use crate::geo::table;

/// The table inside the program.
pub(super) const EMBEDDED: &str = include_str!("../../geoip/networks.toml");
/// Name of the file in errors.
const FILE: &str = "geoip/networks.toml";

/// What stands at the addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkKind {
    /// Entries that pass on to machines elsewhere, which may be another company's.
    FrontEnd,
    /// Public DNS resolvers.
    Resolver,
}

/// What is known of the network that an address is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KnownNetwork {
    /// Its name.
    pub name: String,
    /// What stands there.
    pub kind: NetworkKind,
    /// Its addresses are announced in many places at once, so that none has a place of its own.
    pub anycast: bool,
    /// By what the address was recognised: a prefix, or the AS that announces it.
    pub by: String,
    /// Title of the text that the row was taken from.
    pub source_title: String,
    /// The day on which somebody read that text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_on: Option<Date>,
    /// Nobody has read a text that supports the row.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

impl KnownNetwork {
    /// Announced in many places at once, by a row that was checked.
    pub(super) const fn is_surely_anycast(&self) -> bool {
        self.anycast && !self.unchecked
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    network: Vec<Spanned<Row>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    kind: NetworkKind,
    #[serde(default)]
    asn: Vec<u32>,
    #[serde(default)]
    prefix: Vec<IpNet>,
    anycast: bool,
    source_title: Option<String>,
    checked_on: Option<Date>,
    #[serde(default)]
    unchecked: bool,
}

/// The table.
#[derive(Debug, Clone, Default)]
pub(super) struct Networks {
    rows: Vec<Row>,
}

impl Networks {
    pub(super) const fn empty() -> Self {
        Self { rows: Vec::new() }
    }

    /// The table inside the program.
    pub(super) fn embedded() -> Result<Self, TableError> {
        Self::parse(EMBEDDED)
    }

    fn parse(text: &str) -> Result<Self, TableError> {
        let file: File = table::parse(FILE, text)?;
        let mut rows = Vec::new();
        for row in file.network {
            let span = row.span();
            let row = row.into_inner();
            let fault = match (row.unchecked, &row.source_title, row.checked_on) {
                _ if row.asn.is_empty() && row.prefix.is_empty() => Some("a network needs asn or prefix"),
                (false, None, _) | (false, _, None) => {
                    Some("a row needs source_title and checked_on, or unchecked = true")
                }
                (true, _, Some(_)) => Some("a row is either checked on a day or unchecked"),
                _ => None,
            };
            if let Some(reason) = fault {
                return Err(table::fault(FILE, text, Some(&span), reason.to_owned()));
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// What is known of an address: by the longest prefix around it, else by the AS that announces it.
    pub(super) fn of(&self, ip: IpAddr, asn: Option<u32>) -> Option<KnownNetwork> {
        let around = self.rows.iter().flat_map(|row| row.prefix.iter().map(move |prefix| (row, prefix)));
        let longest = around
            .filter(|(_, prefix)| prefix.contains(&ip))
            .max_by_key(|(_, prefix)| prefix.prefix_len())
            .map(|(row, prefix)| (row, prefix.to_string()));
        let (row, by) = longest.or_else(|| {
            let asn = asn?;
            let row = self.rows.iter().find(|row| row.asn.contains(&asn))?;
            Some((row, format!("AS{asn}")))
        })?;
        Some(KnownNetwork {
            name: row.name.clone(),
            kind: row.kind,
            anycast: row.anycast,
            by,
            source_title: row.source_title.clone().unwrap_or_default(),
            checked_on: row.checked_on,
            unchecked: row.unchecked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides_then_the_as() {
        let text = "[[network]]\nname = \"wide\"\nkind = \"front_end\"\nanycast = false\nprefix = [\"192.0.2.0/24\"]\nasn = [64496]\n\
            unchecked = true\n[[network]]\nname = \"narrow\"\nkind = \"resolver\"\nanycast = true\nprefix = [\"192.0.2.53/32\"]\n\
            source_title = \"t\"\nchecked_on = \"2026-11-26\"\n";
        let table = Networks::parse(text).unwrap();
        let of = |ip: &str, asn| table.of(ip.parse().unwrap(), asn).map(|network| (network.name, network.by));
        let found = |name: &str, by: &str| Some((name.to_owned(), by.to_owned()));
        assert_eq!(of("192.0.2.53", None), found("narrow", "192.0.2.53/32"));
        assert_eq!(of("192.0.2.1", Some(1)), found("wide", "192.0.2.0/24"));
        assert_eq!(of("198.51.100.1", Some(64496)), found("wide", "AS64496"));
        assert_eq!(of("198.51.100.1", Some(64497)), None);
        assert!(table.of("192.0.2.53".parse().unwrap(), None).unwrap().is_surely_anycast());
    }

    #[test]
    fn a_faulty_row_is_named_by_its_line() {
        let text =
            "[[network]]\nname = \"n\"\nkind = \"front_end\"\nanycast = false\nasn = [1]\nunchecked = true\n";
        for (from, to, line, reason) in [
            ("asn = [1]", "prefix = [\"1.2.3.4/33\"]", 5, "prefix"),
            ("asn = [1]\n", "", 1, "needs asn or prefix"),
            ("unchecked = true\n", "", 1, "needs source_title"),
            ("front_end", "cdn", 3, "resolver"),
        ] {
            let error = Networks::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn the_embedded_table_knows_the_usual_front_ends() {
        let table = Networks::embedded().unwrap();
        let any = "203.0.113.1".parse().unwrap();
        for (asn, name) in [(13335, "Cloudflare"), (54113, "Fastly"), (20940, "Akamai"), (16625, "Akamai")] {
            let network = table.of(any, Some(asn)).unwrap();
            assert_eq!((network.name.as_str(), network.kind), (name, NetworkKind::FrontEnd));
        }
        for ip in ["1.1.1.1", "8.8.8.8", "9.9.9.9", "2001:4860:4860::8888"] {
            let network = table.of(ip.parse().unwrap(), None).unwrap();
            assert!(network.kind == NetworkKind::Resolver && network.anycast, "{ip}");
        }
    }
}
