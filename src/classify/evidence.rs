//! What one flow says of itself: its names, its addresses, its marks.

use std::net::IpAddr;

use super::provider::{Grade, HostRole};
use super::rules::{HostRule, Mark, Rules, Standing};
use super::value::Value;
use super::verdict::{Evidence, Role};
use crate::flow::FiveTuple;
use crate::observe::PacketRef;
use crate::observe::facts::Facts;

/// Ports on which a DNS answer says something of the app that asked.
const DNS_PORT: u16 = 53;

/// How much a kind of evidence is worth at grades high, medium and low.
struct Worth {
    what: &'static str,
    weights: [f32; 3],
}

const NAME: Worth = Worth { what: "sni", weights: [0.97, 0.9, 0.6] };
const CERTIFICATE: Worth = Worth { what: "certificate_name", weights: [0.97, 0.9, 0.6] };
const DTLS_CERTIFICATE: Worth = Worth { what: "dtls_certificate", weights: [0.97, 0.9, 0.6] };
const DTLS_ALPN: Worth = Worth { what: "dtls_alpn", weights: [0.6, 0.5, 0.3] };
const QUESTION: Worth = Worth { what: "dns_question", weights: [0.95, 0.9, 0.6] };
const REALM: Worth = Worth { what: "stun_realm", weights: [0.97, 0.9, 0.6] };
const ATTRIBUTE: Worth = Worth { what: "stun_attribute", weights: [0.9, 0.7, 0.4] };
const MESSAGE_TYPE: Worth = Worth { what: "stun_message_type", weights: [0.9, 0.7, 0.4] };
const SOFTWARE: Worth = Worth { what: "stun_software", weights: [0.3, 0.2, 0.1] };
// A shape is a hint: many apps are built on the same libraries, and TURN user names follow a common recipe.
const USERNAME: Worth = Worth { what: "stun_username", weights: [0.4, 0.3, 0.15] };
const PROFILE: Worth = Worth { what: "rtp_extension_profile", weights: [0.85, 0.7, 0.4] };
const QUIC_WITH_RTP: Worth = Worth { what: "quic_with_rtp", weights: [0.85, 0.7, 0.4] };
const WIRE: Worth = Worth { what: "wire_mark", weights: [0.93, 0.7, 0.4] };
const PREFIX_AND_PORT: Worth = Worth { what: "prefix", weights: [0.92, 0.85, 0.4] };
const PREFIX: Worth = Worth { what: "prefix", weights: [0.8, 0.7, 0.3] };
const OPERATOR_PREFIX: Worth = Worth { what: "operator_prefix", weights: [0.12, 0.1, 0.05] };
const FRAMING: Worth = Worth { what: "zoom_framing", weights: [0.98, 0.9, 0.6] };
const SIP: Worth = Worth { what: "sip", weights: [0.97, 0.9, 0.6] };

impl Worth {
    fn of(&self, standing: Standing) -> f32 {
        let [high, medium, low] = self.weights;
        let weight = match standing.grade {
            Grade::High => high,
            Grade::Medium => medium,
            Grade::Low => low,
        };
        if standing.checked { weight } else { weight * 0.5 }
    }
}

/// What a host of this role does when it is spoken to over TLS or QUIC.
pub(super) const fn host_role(role: HostRole) -> Role {
    match role {
        HostRole::Signalling | HostRole::Key | HostRole::Media => Role::Signalling,
        HostRole::Stun => Role::Relay,
        // Beside a call it is the call's, see `visits`.
        HostRole::Web | HostRole::Client => Role::Web,
    }
}

/// Collects the evidence of one flow.
pub(super) struct Collector<'a> {
    pub(super) rules: &'a Rules,
    pub(super) tuple: FiveTuple,
    pub(super) facts: Option<&'a Facts>,
    found: Vec<Evidence>,
}

impl<'a> Collector<'a> {
    pub(super) const fn new(rules: &'a Rules, tuple: FiveTuple, facts: Option<&'a Facts>) -> Self {
        Self { rules, tuple, facts, found: Vec::new() }
    }

    /// All evidence, in a fixed order.
    pub(super) fn collect(mut self) -> Vec<Evidence> {
        if let Some(facts) = self.facts {
            self.names(facts);
            self.stun(facts);
            self.dtls(facts);
            self.media(facts);
            self.marks(facts);
            self.own_formats(facts);
        }
        self.prefixes();
        self.found
    }

    fn push(
        &mut self,
        worth: &Worth,
        mark: Mark,
        value: impl Into<Value>,
        packet: PacketRef,
        role: Option<Role>,
    ) {
        self.found.push(Evidence {
            provider: mark.provider,
            what: worth.what,
            value: value.into(),
            weight: worth.of(mark.standing),
            packet,
            checked: mark.standing.checked,
            role,
        });
    }

    fn host(&mut self, worth: &Worth, name: &str, packet: PacketRef) {
        for HostRule { provider, role, standing, .. } in self.rules.host(name) {
            let mark = Mark { provider, standing };
            self.push(worth, mark, name, packet, Some(host_role(role)));
        }
    }

    fn names(&mut self, facts: &Facts) {
        if let Some(tls) = &facts.tls {
            if let Some(sni) = tls.asked_name() {
                self.host(&NAME, sni, tls.client_hello.unwrap_or_default());
            } else if let Some(certificate) = tls.certificates.first() {
                for name in certificate.subject_cn.iter().chain(&certificate.dns_names).take(8) {
                    let name = name.trim_start_matches("*.").to_lowercase();
                    self.host(&CERTIFICATE, &name, certificate.packet);
                }
            }
        }
        if let Some(dns) = &facts.dns
            && self.tuple.destination.port() == DNS_PORT
        {
            for name in &dns.questions {
                self.host(&QUESTION, name, dns.packet);
            }
        }
    }

    fn stun(&mut self, facts: &Facts) {
        let Some(stun) = &facts.stun else { return };
        for (attribute, packet) in &stun.attributes {
            let owners = self.rules.stun_attributes.get(attribute);
            for mark in owners.into_iter().flatten().filter(|_| is_vendor_attribute(*attribute)) {
                // Zoom's numbers are Zoom's only without the magic cookie.
                if *attribute < 0x4000 && stun.classic == 0 && *attribute != 0x000f {
                    continue;
                }
                self.push(&ATTRIBUTE, *mark, Value::Number(*attribute), *packet, None);
            }
        }
        for (message_type, _) in &stun.types {
            let first = stun.odd_types.iter().find(|(odd, _)| odd == message_type);
            let packet = first.map_or(stun.packet, |(_, packet)| *packet);
            for mark in self.rules.stun_types.get(message_type).into_iter().flatten() {
                self.push(&MESSAGE_TYPE, *mark, Value::Number(*message_type), packet, None);
            }
        }
        for (realm, packet) in &stun.realms {
            let realm = realm.to_lowercase();
            for (known, mark) in &self.rules.realms {
                if *known == realm {
                    self.push(&REALM, *mark, realm.clone(), *packet, None);
                }
            }
            self.host(&REALM, &realm, *packet);
        }
        for (software, packet) in &stun.software {
            for (known, mark) in &self.rules.software {
                if known == software && known != "None" {
                    self.push(&SOFTWARE, *mark, software.clone(), *packet, None);
                }
            }
        }
        for (username, packet) in &stun.usernames {
            for (shape, mark) in &self.rules.usernames {
                if shape.is_match(username) {
                    self.push(&USERNAME, *mark, username.clone(), *packet, None);
                }
            }
        }
    }

    fn dtls(&mut self, facts: &Facts) {
        let Some(dtls) = &facts.dtls else { return };
        if let Some(sni) = &dtls.sni {
            self.host(&NAME, sni, dtls.client_hello.unwrap_or_default());
        }
        for certificate in dtls.server_certificates.iter().take(1) {
            for name in certificate.subject_cn.iter().chain(&certificate.dns_names).take(8) {
                let name = name.to_lowercase();
                for (known, mark) in &self.rules.server_certificates {
                    if wildcard_matches(known, &name) {
                        self.push(&DTLS_CERTIFICATE, *mark, name.clone(), certificate.packet, None);
                    }
                }
                self.host(&DTLS_CERTIFICATE, name.trim_start_matches("*."), certificate.packet);
            }
        }
        for alpn in &dtls.alpn {
            for (known, mark) in &self.rules.dtls_alpn {
                // `webrtc` is registered for everyone (RFC 8833); only the unusual speaks.
                if known == alpn && !matches!(known.as_str(), "webrtc" | "c-webrtc") {
                    self.push(&DTLS_ALPN, *mark, alpn.clone(), dtls.packet, None);
                }
            }
        }
    }

    fn media(&mut self, facts: &Facts) {
        let Some(media) = &facts.media else { return };
        if let Some(quic) = &facts.quic {
            for mark in &self.rules.quic_with_rtp {
                let value = "QUIC handshake and RTP or RTCP on one flow".to_owned();
                self.push(&QUIC_WITH_RTP, *mark, value, quic.packet, Some(Role::Media));
            }
        }
        let mut told: Vec<u16> = Vec::new();
        for stream in &media.streams {
            let Some(profile) = stream.extension_profile.filter(|profile| !told.contains(profile)) else {
                continue;
            };
            told.push(profile);
            // RFC 8285 profiles are everyone's.
            if profile == 0xbede || profile & 0xfff0 == 0x1000 {
                continue;
            }
            for mark in self.rules.extension_profiles.get(&profile).into_iter().flatten() {
                self.push(&PROFILE, *mark, Value::Number(profile), stream.packet, Some(Role::Media));
            }
        }
    }

    fn marks(&mut self, facts: &Facts) {
        for hit in &facts.marks {
            let Some(rule) = self.rules.wires.get(usize::from(hit.rule)) else { continue };
            if hit.hits < rule.hits || (rule.inside_prefix && !self.inside(rule.provider)) {
                continue;
            }
            let mark = Mark { provider: rule.provider, standing: rule.standing };
            let noun = if hit.hits == 1 { "packet" } else { "packets" };
            let value = format!("{} ({} {noun})", rule.id, hit.hits);
            self.push(&WIRE, mark, value, hit.packet, Some(rule.role));
        }
    }

    fn inside(&self, provider: u16) -> bool {
        [self.tuple.destination.ip(), self.tuple.source.ip()]
            .into_iter()
            .any(|address| self.rules.nets().of(address).any(|net| net.provider == provider))
    }

    /// Formats that have a parser of their own, and whose owner a provider file names.
    fn own_formats(&mut self, facts: &Facts) {
        let high = Standing { grade: Grade::High, checked: true };
        if let Some(zoom) = &facts.zoom
            && let Some(provider) = self.number("zoom")
        {
            let role = if zoom.peer_to_peer { Role::P2p } else { Role::Media };
            let mark = Mark { provider, standing: high };
            self.push(&FRAMING, mark, Value::Packets(zoom.packets), zoom.packet, Some(role));
        }
        if let Some(sip) = &facts.sip
            && let Some(provider) = self.number("sip-rtp")
        {
            let value = sip.methods.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(" ");
            let mark = Mark { provider, standing: high };
            self.push(&SIP, mark, value, sip.packet, Some(Role::Signalling));
        }
    }

    fn number(&self, id: &str) -> Option<u16> {
        let found = self.rules.providers.iter().position(|provider| provider.id == id)?;
        u16::try_from(found).ok()
    }

    fn prefixes(&mut self) {
        let ends = [self.tuple.destination, self.tuple.source];
        for (own, end) in [(0, ends[0]), (1, ends[1])] {
            if !could_be_server(end.ip()) {
                continue;
            }
            for net in self.rules.nets().of(end.ip()) {
                let ported = self.ported(
                    net.provider,
                    end.port(),
                    if own == 0 { ends[1].port() } else { ends[0].port() },
                );
                let worth = match (net.dedicated, ported) {
                    (true, true) => &PREFIX_AND_PORT,
                    (true, false) => &PREFIX,
                    (false, _) => &OPERATOR_PREFIX,
                };
                // A name that is not the provider's outweighs the block that the server sits in.
                let foreign = net.dedicated && self.has_foreign_name(net.provider);
                let worth = if foreign { &OPERATOR_PREFIX } else { worth };
                let mark = Mark { provider: net.provider, standing: net.standing };
                let role = (net.everything && self.tuple.protocol == 6).then_some(Role::Other);
                let value = Value::Prefix { address: end.ip(), net: net.net };
                self.push(worth, mark, value, PacketRef::default(), role);
            }
        }
    }

    fn ported(&self, provider: u16, server: u16, client: u16) -> bool {
        self.rules.ports.get(usize::from(provider)).into_iter().flatten().any(|rule| {
            let port = if rule.server_side { server } else { client };
            rule.protocol == self.tuple.protocol && rule.ranges.iter().any(|range| range.contains(&port))
        })
    }

    fn has_foreign_name(&self, provider: u16) -> bool {
        let sni = self.facts.and_then(|facts| facts.tls.as_ref()).and_then(|tls| tls.asked_name());
        sni.is_some_and(|name| !self.rules.host(name).iter().any(|rule| rule.provider == provider))
    }
}

/// Comprehension-optional and unassigned numbers that a vendor took; the rest is everyone's.
fn is_vendor_attribute(attribute: u16) -> bool {
    // RFC 8489 and its registry with what its drafts used (0x8020), and what libwebrtc sends for every app built on it.
    let standard = matches!(attribute, 0x0001..=0x0030 | 0x8000..=0x8004 | 0x8020..=0x8030 | 0xc000..=0xc0ff);
    !standard || matches!(attribute, 0x000f)
}

/// `*.example.org` in a provider file stands for the same text on the wire, or a name below it.
fn wildcard_matches(known: &str, name: &str) -> bool {
    known == name
        || known.strip_prefix("*.").is_some_and(|parent| {
            name.strip_suffix(parent).is_some_and(|head| head.ends_with('.') && head.len() > 1)
        })
}

/// Private and special addresses are nobody's server.
pub(crate) fn could_be_server(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_unspecified())
        }
        IpAddr::V6(v6) => {
            let [first, ..] = v6.segments();
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::Stun;

    #[test]
    fn a_message_type_is_shown_by_the_packet_that_has_it() {
        // As WhatsApp's calls begin: an Allocate, then a message of its own type.
        let (first, own) = (PacketRef::new(0, 215), PacketRef::new(0, 708));
        let stun = Stun {
            types: vec![(0x0003, 1), (0x0800, 2)],
            odd_types: vec![(0x0800, own)].into(),
            packet: first,
            ..Stun::default()
        };
        let facts = Facts { stun: Some(Box::new(stun)), ..Facts::default() };
        let rules = crate::classify::embedded().unwrap();
        let (source, destination) = ("192.0.2.1:4000".parse().unwrap(), "192.0.2.2:3478".parse().unwrap());
        let tuple = FiveTuple { source, destination, protocol: 17 };
        let found = Collector::new(&rules, tuple, Some(&facts)).collect();
        let told: Vec<_> = found.iter().filter(|one| one.what == MESSAGE_TYPE.what).collect();
        assert!(!told.is_empty() && told.iter().all(|one| one.packet == own));
    }
}
