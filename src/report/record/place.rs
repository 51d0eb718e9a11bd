//! What is known of a server's place beside databases: hints, and how far away it can be.

use serde::Serialize;

use super::{HolderRecord, PacketNumber, PlaceRecord, ServerRecord, SessionRecord};
use crate::geo::Country;
use crate::keys::{Method, Mode};
use crate::observe::facts::Exchange;

/// What the owner of a name or of a range says of a server's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlaceHint {
    /// What it was read from.
    pub kind: PlaceClaim,
    /// The name, or the published network.
    pub value: String,
    /// Whose code it is.
    pub owner: String,
    /// The code of a region or site.
    pub region: String,
    /// The country that the source gives to it.
    pub country: Country,
    /// The place there, where the source names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// What says so.
    pub source: String,
    /// Its date.
    pub date: String,
    /// Whole days between a published range's date and the capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_from_capture: Option<u32>,
    /// No source of the owner was read for the code: it is a guess, and decides nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
    /// The packet that shows the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
}

impl PlaceHint {
    /// Says who says what, never that the server is anywhere.
    pub fn sentence(&self) -> String {
        let place = match &self.city {
            Some(city) => format!("{} ({city})", self.country),
            None => self.country.to_string(),
        };
        let unchecked = if self.unchecked { "; unchecked" } else { "" };
        match self.kind {
            PlaceClaim::PublishedRange => format!(
                "{} is published as region {} of {} ({}{unchecked}), which its owner places in {place}",
                self.value, self.region, self.owner, self.date
            ),
            PlaceClaim::ReverseName => format!(
                "its name by reverse look-up {} has the code {}, which stands for {place} (source: {}, {}{unchecked})",
                self.value, self.region, self.source, self.date
            ),
            PlaceClaim::HostName | PlaceClaim::Database => format!(
                "its name {} has the code {}, which stands for {place} (source: {}, {}{unchecked})",
                self.value, self.region, self.source, self.date
            ),
        }
    }
}

/// How far away a server can be, by how soon it answered.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DistanceRecord {
    /// The shortest time from a question to its answer at the capture point, in milliseconds.
    pub rtt_ms: f64,
    /// The next shortest, of another exchange; left out when there was one exchange only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rtt_ms: Option<f64>,
    /// The step in which the clock that stamped these packets may count, in milliseconds; left out below 0.01. Both times end in that
    /// many zeros, or the time is a whole number of 15.625 ms, the step of older Windows drivers, which may be chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_step_ms: Option<f64>,
    /// The answer.
    pub packet: PacketNumber,
    /// The question.
    pub asked: PacketNumber,
    /// What was exchanged.
    pub how: Exchange,
    /// No farther than this from the capture point, in kilometres: half the way that light comes in vacuum in that time (of the
    /// two shortest times the longer), with the step of the capture's clock added. What answers may be a proxy on the way.
    pub km_at_most: u32,
    /// The same were all of the way glass fibre: likelier, and no bound.
    pub km_in_fibre: u32,
    /// Where the distance is counted from.
    pub from: DistanceFrom,
    /// In which country the capture point is, as the user said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<Country>,
    /// Places that it contradicts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contradicts: Vec<ContradictedRecord>,
    /// Places that cannot be right together with that of another server, where nothing tells which of the two is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incompatible: Vec<ContradictedRecord>,
}

impl DistanceRecord {
    /// `2.2 ms`, with what else the bound rests on: `31.153 and 31.192 ms, by a clock that may count in steps of 15.625 ms`.
    pub fn times(&self) -> String {
        let next = self.next_rtt_ms.filter(|next| next.total_cmp(&self.rtt_ms).is_ne());
        let next = next.map(|next| format!(" and {next}")).unwrap_or_default();
        let step =
            self.clock_step_ms.map(|step| format!(", by a clock that may count in steps of {step} ms"));
        format!("{}{next} ms{}", self.rtt_ms, step.unwrap_or_default())
    }
}

impl PlaceRecord {
    /// True where the time of answers contradicts that it is in a country.
    pub fn is_refuted(&self, country: Country) -> bool {
        let claims = self.distance.iter().flat_map(|found| &found.contradicts);
        claims.into_iter().any(|claim| claim.country == country)
    }
}

/// Where a distance is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DistanceFrom {
    /// Where the packets were captured.
    CapturePoint,
}

/// A place that is too far away.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContradictedRecord {
    /// What kind of claim it is.
    pub claim: PlaceClaim,
    /// Who makes it: a database, or the source of a hint.
    pub source: String,
    /// Of which date.
    pub date: String,
    /// The country claimed.
    pub country: Country,
    /// Kilometres from there to the nearest point of the country of `by`, at least.
    pub km_at_least: u32,
    /// Kilometres between the two, at most, by the answers.
    pub km_at_most: u32,
    /// What it is held against.
    pub by: Vec<AgainstRecord>,
}

/// What kind of claim places a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlaceClaim {
    /// A database's answer for its address.
    Database,
    /// A code in a name of it.
    HostName,
    /// A code in its name by reverse look-up.
    ReverseName,
    /// A cloud provider's published range.
    PublishedRange,
}

/// What a claim is held against: the capture point's country, or the place of somebody else who answered as soon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AgainstRecord {
    /// Address of the other; left out for the capture point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its country.
    pub country: Country,
    /// Who says so.
    pub source: String,
    /// The other's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketNumber>,
}

impl SessionRecord {
    /// False of the other end of a call that by the provider's documents is always end to end: who is there has the key by right,
    /// or could not have it.
    pub(in crate::report) fn is_third(&self, holder: &HolderRecord) -> bool {
        let known = self.keys.end_to_end.as_ref().filter(|_| self.keys.method == Method::EndToEnd);
        let is_other_end = |server: &ServerRecord| server.other_end && server.ip == holder.ip;
        known.is_none_or(|known| known.mode != Mode::Always) || !self.servers.iter().any(is_other_end)
    }
}

impl ServerRecord {
    /// False of who may be a participant, and of who never answered.
    pub(in crate::report) const fn is_server(&self) -> bool {
        !self.other_end && !self.no_answer
    }

    /// What it did, in words.
    pub(in crate::report) fn role_words(&self, between: &str) -> String {
        if self.no_answer {
            return "no answer".to_owned();
        }
        if self.other_end {
            return "other end".to_owned();
        }
        self.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(between)
    }

    /// Nothing was counted at an address behind a relay.
    pub(in crate::report) const fn is_counted_at_relay(&self) -> bool {
        self.bytes == 0 && self.behind_relay.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bound_rests_on_is_told() {
        let packet = PacketNumber { file: None, frame: 1 };
        let mut distance = DistanceRecord {
            rtt_ms: 31.153,
            next_rtt_ms: None,
            clock_step_ms: None,
            packet,
            asked: packet,
            how: Exchange::TcpHandshake,
            km_at_most: 4670,
            km_in_fibre: 3180,
            from: DistanceFrom::CapturePoint,
            site: None,
            contradicts: Vec::new(),
            incompatible: Vec::new(),
        };
        assert_eq!(distance.times(), "31.153 ms");
        distance.next_rtt_ms = Some(31.153);
        assert_eq!(distance.times(), "31.153 ms");
        distance.next_rtt_ms = Some(31.192);
        assert_eq!(distance.times(), "31.153 and 31.192 ms");
        distance.clock_step_ms = Some(15.625);
        assert_eq!(distance.times(), "31.153 and 31.192 ms, by a clock that may count in steps of 15.625 ms");
    }
}
