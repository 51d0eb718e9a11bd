//! The provider files compiled into look-ups: by name, by address, by mark.

use std::ops::RangeInclusive;

use hashbrown::HashMap;
use regex::{Regex, RegexSet};

use super::keying::{self, KeyMethod, Keying};
use super::nets::{NetRule, Nets};
use super::provider::{
    self, Grade, Host, HostRole, Matching, Provider, ProviderError, Sources, Wire, line_of, parse,
};
use super::{verdict::Role, wire};
use crate::observe::pattern::Pattern;
use crate::parallel::Threads;

/// Sources that were not checked by anyone: they add weight and never decide alone.
const UNCHECKED: [&str; 2] = ["recall", "none"];

/// A fact's strength: its grade, and whether anything but memory stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) grade: Grade,
    pub(super) checked: bool,
}

/// A host rule that matched a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostRule {
    pub(super) provider: u16,
    pub(super) role: HostRole,
    pub(super) standing: Standing,
    /// Length of the pattern; the longest match speaks.
    specificity: usize,
}

/// A port range of a provider.
#[derive(Debug, Clone)]
pub(super) struct PortRule {
    pub(super) protocol: u8,
    pub(super) ranges: Vec<RangeInclusive<u16>>,
    pub(super) server_side: bool,
}

/// A byte pattern with its owner.
#[derive(Debug, Clone)]
pub(super) struct WireRule {
    pub(super) provider: u16,
    pub(super) id: String,
    pub(super) role: Role,
    pub(super) hits: u32,
    pub(super) inside_prefix: bool,
    pub(super) opens: bool,
    pub(super) standing: Standing,
}

/// A value of a mark (an attribute, a realm, a certificate name) with its owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) provider: u16,
    pub(super) standing: Standing,
}

/// Rules of the host of one name, and of all hosts below it.
#[derive(Debug, Default)]
struct Hosts {
    exact: Vec<HostRule>,
    suffix: Vec<HostRule>,
}

/// The ends of a name from a label on, the shortest first; the last is all of it.
fn ends_of(name: &str) -> impl Iterator<Item = &str> {
    let mut before = Some(name);
    std::iter::from_fn(move || {
        let rest = before?;
        let dot = rest.rfind('.');
        before = dot.and_then(|dot| rest.get(..dot));
        name.get(dot.map_or(0, |dot| dot.saturating_add(1))..)
    })
}

/// Everything known of all providers.
#[derive(Debug)]
pub struct Rules {
    pub(super) providers: Vec<Provider>,
    /// By name, with every end of a name that one of them has: most hosts are known to be nobody's by their last two labels.
    hosts: HashMap<String, Hosts>,
    /// All patterns in one, and the rule of each.
    patterns: RegexSet,
    of_patterns: Vec<(String, HostRule)>,
    nets: Nets,
    pub(super) ports: Vec<Vec<PortRule>>,
    pub(super) stun_attributes: HashMap<u16, Vec<Mark>>,
    pub(super) stun_types: HashMap<u16, Vec<Mark>>,
    pub(super) realms: Vec<(String, Mark)>,
    pub(super) software: Vec<(String, Mark)>,
    pub(super) usernames: Vec<(Regex, Mark)>,
    pub(super) server_certificates: Vec<(String, Mark)>,
    pub(super) dtls_alpn: Vec<(String, Mark)>,
    pub(super) quic_with_rtp: Vec<Mark>,
    pub(super) extension_profiles: HashMap<u16, Vec<Mark>>,
    pub(super) wires: Vec<WireRule>,
    wire_patterns: Vec<Pattern>,
    sources: Sources,
}

impl Rules {
    /// Reads and compiles provider files, given as (name, text), and the text of their list of sources.
    ///
    /// # Errors
    /// [`ProviderError::Schema`] with file, line and field for the first thing that does not fit.
    pub fn compile<'t>(
        files: impl IntoIterator<Item = (&'t str, &'t str)>,
        sources: &str,
    ) -> Result<Self, ProviderError> {
        let files: Vec<_> = files.into_iter().collect();
        Self::compile_by(Threads::ONE, &files, sources)
    }

    /// The same by several threads.
    pub(super) fn compile_by(
        threads: Threads,
        files: &[(&str, &str)],
        sources: &str,
    ) -> Result<Self, ProviderError> {
        let (sources, providers) = threads.map_beside(
            || parse("sources.toml", sources),
            files,
            |(file, text)| parse::<Provider>(file, text),
        );
        let mut rules = Self::empty(sources?);
        for ((file, text), provider) in files.iter().copied().zip(providers) {
            let provider = provider?;
            let number = u16::try_from(rules.providers.len()).unwrap_or(u16::MAX);
            Compiler { file, text, number, rules: &mut rules }.provider(&provider)?;
            rules.providers.push(provider);
        }
        rules.finish()?;
        Ok(rules)
    }

    fn empty(sources: Sources) -> Self {
        Self {
            providers: Vec::new(),
            hosts: HashMap::new(),
            patterns: RegexSet::empty(),
            of_patterns: Vec::new(),
            nets: Nets::new(),
            ports: Vec::new(),
            stun_attributes: HashMap::new(),
            stun_types: HashMap::new(),
            realms: Vec::new(),
            software: Vec::new(),
            usernames: Vec::new(),
            server_certificates: Vec::new(),
            dtls_alpn: Vec::new(),
            quic_with_rtp: Vec::new(),
            extension_profiles: HashMap::new(),
            wires: Vec::new(),
            wire_patterns: Vec::new(),
            sources,
        }
    }

    /// Longest prefixes first; all patterns in one.
    fn finish(&mut self) -> Result<(), ProviderError> {
        let patterns = self.of_patterns.iter().map(|(pattern, _)| pattern.as_str());
        self.patterns = RegexSet::new(patterns).map_err(|error| ProviderError::Schema {
            file: "all host patterns together".to_owned(),
            line: 0,
            reason: error.to_string().replace('\n', " "),
        })?;
        Ok(())
    }

    /// The providers, in the order of their files.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// One provider.
    pub fn provider(&self, number: u16) -> Option<&Provider> {
        self.providers.get(usize::from(number))
    }

    /// The sources that facts refer to.
    pub const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The provider of a byte pattern that only the first packets of a connection show; `None` for other patterns.
    pub(crate) fn opens(&self, rule: u16) -> Option<u16> {
        self.wires.get(usize::from(rule)).filter(|rule| rule.opens).map(|rule| rule.provider)
    }

    /// The byte patterns for the observing stage.
    pub fn wire_patterns(&self) -> Vec<Pattern> {
        self.wire_patterns.clone()
    }

    /// The most specific rules for a host name (lower case, no trailing dot), those first; where none of them is checked, the
    /// most specific checked one of the same provider names the app, and what the host does is still told by the former.
    pub(super) fn host(&self, name: &str) -> Vec<HostRule> {
        let mut found: Vec<HostRule> = Vec::new();
        for (end, known) in ends_of(name).map_while(|end| Some((end, self.hosts.get(end)?))) {
            if end.len() == name.len() {
                found.extend(&known.exact);
            }
            found.extend(&known.suffix);
        }
        if self.patterns.is_match(name) {
            let matching = self.patterns.matches(name);
            found.extend(matching.iter().filter_map(|index| Some(self.of_patterns.get(index)?.1)));
        }
        // Of most names one rule speaks, or none.
        if found.len() < 2 {
            return found;
        }
        let best = found.iter().map(|rule| rule.specificity).max().unwrap_or(0);
        let (mut first, others): (Vec<HostRule>, Vec<HostRule>) =
            found.into_iter().partition(|rule| rule.specificity == best);
        for told in first.clone() {
            let own = |rule: &&HostRule| rule.provider == told.provider && rule.standing.checked;
            if first.iter().any(|rule| own(&rule)) {
                continue;
            }
            let hidden = others.iter().filter(own).max_by_key(|rule| rule.specificity);
            first.extend(hidden.map(|rule| HostRule { role: told.role, ..*rule }));
        }
        first
    }

    /// The rules of a name, which is known from now on, with all its ends.
    fn hosts_of(&mut self, name: &str) -> &mut Hosts {
        for end in ends_of(name) {
            self.hosts.entry_ref(end).or_default();
        }
        self.hosts.entry_ref(name).or_default()
    }

    /// What a host of this name does, by the provider's file.
    pub fn host_role(&self, name: &str) -> Option<HostRole> {
        self.host(name).first().map(|rule| rule.role)
    }

    /// Whether a prefix in a provider's file holds an address.
    pub fn has_address(&self, provider: u16, address: std::net::IpAddr) -> bool {
        self.nets.of(address).any(|net| net.provider == provider)
    }

    /// Whether a host name (lower case) is one of a provider's.
    pub fn has_name(&self, provider: u16, name: &str) -> bool {
        self.host(name).iter().any(|rule| rule.provider == provider)
    }

    /// The prefixes of all providers.
    pub const fn nets(&self) -> &Nets {
        &self.nets
    }
}

/// Compiles one file into the rules.
struct Compiler<'a> {
    file: &'a str,
    text: &'a str,
    number: u16,
    rules: &'a mut Rules,
}

impl Compiler<'_> {
    fn error(&self, span: &std::ops::Range<usize>, reason: String) -> ProviderError {
        ProviderError::Schema { file: self.file.to_owned(), line: line_of(self.text, span), reason }
    }

    fn standing(
        &self,
        grade: Grade,
        sources: &toml::Spanned<Vec<String>>,
    ) -> Result<Standing, ProviderError> {
        for source in sources.get_ref() {
            if !self.rules.sources.source.contains_key(source) {
                let reason = format!("sources: `{source}` is not in sources.toml");
                return Err(self.error(&sources.span(), reason));
            }
        }
        let checked = sources.get_ref().iter().any(|source| !UNCHECKED.contains(&source.as_str()));
        Ok(Standing { grade, checked })
    }

    fn regex(&self, pattern: &toml::Spanned<String>, field: &str) -> Result<Regex, ProviderError> {
        Regex::new(pattern.get_ref()).map_err(|error| {
            let reason = error.to_string().replace('\n', " ");
            self.error(&pattern.span(), format!("{field}: {reason}"))
        })
    }

    fn provider(&mut self, provider: &Provider) -> Result<(), ProviderError> {
        if provider.schema_version != 1 {
            let reason = format!("schema_version: {} is not known, 1 is", provider.schema_version);
            return Err(self.error(&(0..0), reason));
        }
        self.keying(&provider.keying)?;
        for host in &provider.host {
            self.host(host)?;
        }
        for net in &provider.net {
            self.net(net)?;
        }
        let mut ports = Vec::new();
        for port in &provider.port {
            ports.push(self.port(port)?);
        }
        self.rules.ports.push(ports);
        if let Some(stun) = &provider.stun {
            self.stun(stun)?;
        }
        if let Some(rtp) = &provider.rtp {
            let mark = Mark { provider: self.number, standing: self.standing(rtp.confidence, &rtp.sources)? };
            for profile in &rtp.extension_profiles {
                self.rules.extension_profiles.entry(*profile).or_default().push(mark);
            }
        }
        if let Some(quic) = provider.quic.as_ref().filter(|quic| quic.carries_rtp) {
            let standing = self.standing(quic.confidence, &quic.sources)?;
            self.rules.quic_with_rtp.push(Mark { provider: self.number, standing });
        }
        if let Some(dtls) = &provider.dtls {
            let mark =
                Mark { provider: self.number, standing: self.standing(dtls.confidence, &dtls.sources)? };
            let names = dtls.server_cert_names.iter().map(|name| (name.to_lowercase(), mark));
            self.rules.server_certificates.extend(names);
            self.rules.dtls_alpn.extend(dtls.alpn.iter().map(|alpn| (alpn.clone(), mark)));
        }
        provider.wire.iter().try_for_each(|row| self.wire(row))
    }

    /// A file says how media keys arise, or that no document does; whatever it claims has a document.
    fn keying(&self, rows: &toml::Spanned<Vec<Keying>>) -> Result<(), ProviderError> {
        if rows.get_ref().is_empty() {
            return Err(self.error(&rows.span(), "keying: a row is missing".to_owned()));
        }
        for row in rows.get_ref() {
            let standing = self.standing(row.confidence, &row.sources)?;
            if !standing.checked && row.method != KeyMethod::Unknown {
                let reason = "sources: this keying row names no document".to_owned();
                return Err(self.error(&row.sources.span(), reason));
            }
            if row.scope.is_empty() {
                return Err(self.error(&row.sources.span(), "keying.scope: empty".to_owned()));
            }
            for limit in row.from.iter().chain(&row.until) {
                keying::date(limit.get_ref())
                    .map_err(|reason| self.error(&limit.span(), format!("keying: {reason}")))?;
            }
        }
        Ok(())
    }

    fn host(&mut self, host: &Host) -> Result<(), ProviderError> {
        let standing = self.standing(host.confidence, &host.sources)?;
        let pattern = host.pattern.get_ref().to_lowercase();
        let specificity = match host.matching {
            Matching::Exact => 1000,
            Matching::Suffix => pattern.len(),
            // A pattern is written for the few names that it means, so it outranks a suffix.
            Matching::Regex | Matching::Prefix => 500,
        };
        let rule = HostRule { provider: self.number, role: host.role, standing, specificity };
        match host.matching {
            Matching::Exact => self.rules.hosts_of(&pattern).exact.push(rule),
            Matching::Suffix => self.rules.hosts_of(&pattern).suffix.push(rule),
            Matching::Regex => {
                self.regex(&host.pattern, "host.pattern")?;
                self.rules.of_patterns.push((host.pattern.get_ref().clone(), rule));
            }
            Matching::Prefix => {
                self.rules.of_patterns.push((format!("^{}", regex::escape(&pattern)), rule));
            }
        }
        Ok(())
    }

    fn net(&mut self, net: &provider::Net) -> Result<(), ProviderError> {
        let standing = self.standing(net.confidence, &net.sources)?;
        for cidr in &net.cidrs {
            let prefix = provider::prefix(cidr.get_ref())
                .map_err(|reason| self.error(&cidr.span(), format!("net.cidrs: {reason}")))?;
            self.rules.nets.add(NetRule {
                provider: self.number,
                net: prefix,
                dedicated: net.is_dedicated(),
                everything: net.role == "all",
                standing,
            });
        }
        Ok(())
    }

    fn port(&self, port: &provider::Port) -> Result<PortRule, ProviderError> {
        self.standing(port.confidence, &port.sources)?;
        let mut ranges = Vec::new();
        for ports in &port.ports {
            let range = wire::port_range(ports.get_ref())
                .map_err(|reason| self.error(&ports.span(), format!("port.ports: {reason}")))?;
            ranges.push(range);
        }
        let protocol = if port.proto == "udp" { 17 } else { 6 };
        Ok(PortRule { protocol, ranges, server_side: port.side != "client" })
    }

    fn stun(&mut self, stun: &provider::StunMarks) -> Result<(), ProviderError> {
        let mark = Mark { provider: self.number, standing: self.standing(stun.confidence, &stun.sources)? };
        for attribute in &stun.attributes {
            self.rules.stun_attributes.entry(*attribute).or_default().push(mark);
        }
        for message_type in &stun.message_types {
            self.rules.stun_types.entry(*message_type).or_default().push(mark);
        }
        self.rules.realms.extend(stun.realms.iter().map(|realm| (realm.to_lowercase(), mark)));
        self.rules.software.extend(stun.software.iter().map(|software| (software.clone(), mark)));
        for (shape, field) in
            [(&stun.ice_username, "stun.ice_username"), (&stun.turn_username, "stun.turn_username")]
        {
            if let Some(shape) = shape {
                let regex = self.regex(shape, field)?;
                self.rules.usernames.push((regex, mark));
            }
        }
        Ok(())
    }

    fn wire(&mut self, row: &Wire) -> Result<(), ProviderError> {
        let standing = self.standing(row.confidence, &row.sources)?;
        let number = u16::try_from(self.rules.wires.len()).unwrap_or(u16::MAX);
        let pattern = wire::compile(row, number)
            .map_err(|reason| self.error(&row.id.span(), format!("wire: {reason}")))?;
        self.rules.wire_patterns.push(pattern);
        self.rules.wires.push(WireRule {
            provider: self.number,
            id: row.id.get_ref().clone(),
            role: row.role,
            hits: row.hits.max(1),
            inside_prefix: row.inside_prefix,
            opens: row.opens,
            standing,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::near::near_text;
    use proptest::prelude::*;

    /// Of the shipped files: Signal's chat host stands there from memory, its domain from a document.
    #[test]
    fn a_row_that_may_not_decide_hides_none_that_may() {
        let rules = crate::classify::embedded().unwrap();
        let names = |host: &str| {
            let found = rules.host(host);
            let checked = found.iter().find(|rule| rule.standing.checked).map(|rule| rule.provider);
            checked.and_then(|number| rules.provider(number)).map(|provider| provider.id.clone())
        };
        assert_eq!(names("chat.signal.org").as_deref(), Some("signal"));
        assert_eq!(names("other.signal.org").as_deref(), Some("signal"));
        assert_eq!(names("signal.example.org"), None);
        // What a host does is told by the row that is written for it.
        let client = rules.host("updates.signal.org");
        assert!(client.len() == 2 && client.iter().all(|rule| rule.role == HostRole::Client), "{client:?}");
    }

    #[test]
    fn ends_of_a_name_begin_at_its_labels() {
        for (name, expected) in [
            ("us.zoom.example", &["example", "zoom.example", "us.zoom.example"][..]),
            ("example", &["example"]),
            ("", &[""]),
            (".a..b.", &["", "b.", ".b.", "a..b.", ".a..b."]),
        ] {
            assert_eq!(ends_of(name).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    /// A provider with a row of each kind, cut from the shipped files.
    const PROVIDER: &str = include_str!("../../providers/jitsi.toml");
    const WIRE: &str = "[[wire]]\nid = \"hello\"\nproto = \"udp\"\nports = [\"8801-8810\"]\nrole = \"media\"\nbytes = [\"0:02??03\", \"27:00\"]\n\
        len = \"35..64\"\ndescription = \"x\"\nconfidence = \"high\"\nsources = [\"corpus\"]\n";
    const SOURCES: &str = include_str!("../../providers/sources.toml");

    #[test]
    fn the_file_that_is_damaged_below_is_sound() {
        let text = format!("{PROVIDER}\n{WIRE}");
        assert!(
            Rules::compile([("a.toml", text.as_str())], SOURCES)
                .is_ok_and(|rules| rules.wire_patterns().len() == 1)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn near_a_provider_file_it_is_refused_with_a_line_of_its_own_or_read(text in near_text([format!("{PROVIDER}\n{WIRE}")])) {
            let lines = text.split('\n').count();
            match Rules::compile([("a.toml", text.as_str())], SOURCES) {
                Ok(rules) => {
                    let _ = (rules.host_role("meet.jit.si"), rules.host("meet.jit.si"), rules.wire_patterns());
                }
                Err(ProviderError::Schema { line, .. }) => prop_assert!((1..=lines).contains(&line)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }

        /// Labels of few letters, so that names and rules meet; a rule each for hosts, and for all below.
        #[test]
        fn a_host_is_known_by_its_name_and_by_each_name_above_it(
            exact in prop::collection::vec("[ab.]{0,5}", 0..4),
            suffix in prop::collection::vec("[ab.]{0,5}", 0..4),
            name in "[ab.]{0,7}",
        ) {
            let mut rules = Rules::empty(parse("sources.toml", SOURCES).unwrap());
            let rule = |number: usize, specificity| HostRule {
                provider: u16::try_from(number).unwrap(),
                role: HostRole::Web,
                standing: Standing { grade: Grade::High, checked: true },
                specificity,
            };
            for (number, pattern) in exact.iter().enumerate() {
                rules.hosts_of(pattern).exact.push(rule(number, 1000));
            }
            for (number, pattern) in suffix.iter().enumerate() {
                rules.hosts_of(pattern).suffix.push(rule(100 + number, pattern.len()));
            }
            let is_below = |pattern: &String| name == *pattern || name.ends_with(&format!(".{pattern}"));
            let names = |list: &[String], first: usize, fits: &dyn Fn(&String) -> bool| -> Vec<u16> {
                let fitting = list.iter().enumerate().filter(|(_, pattern)| fits(pattern));
                fitting.map(|(number, _)| u16::try_from(first + number).unwrap()).collect()
            };
            let longest = suffix.iter().filter(|pattern| is_below(pattern)).map(String::len).max();
            let mut expected = names(&exact, 0, &|pattern| *pattern == name);
            if expected.is_empty() {
                expected = names(&suffix, 100, &|pattern| is_below(pattern) && Some(pattern.len()) == longest);
            }
            let found: Vec<u16> = rules.host(&name).iter().map(|rule| rule.provider).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn near_what_rows_say_in_words_nothing_panics(text in near_text(["8801-8810", "2024-02-29", "2001:db8::/32", "10.0.0.0/8"])) {
            use crate::classify::{keying, provider, wire};
            prop_assert!(wire::port_range(&text).is_ok_and(|range| range.start() <= range.end()) || wire::port_range(&text).is_err());
            prop_assert!(provider::prefix(&text).is_ok_and(|net| net == net.trunc()) || provider::prefix(&text).is_err());
            prop_assert!(keying::date(&text).is_ok_and(|day| text.contains(&day.to_string())) || keying::date(&text).is_err());
        }
    }
}
