//! Sessions that others may turn out to share a meeting with, written down and read again. What ties them is found out anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::meeting::Meetings;
use super::trace::Trace;

#[derive(Serialize)]
struct Written<'a> {
    sessions: &'a [Trace],
    meetings: &'a BTreeMap<u64, u64>,
    most: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    sessions: Vec<Trace>,
    meetings: BTreeMap<u64, u64>,
    most: Option<usize>,
}

impl Serialize for Meetings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (sessions, meetings, most) = self.kept();
        Written { sessions, meetings, most }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Meetings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { sessions, meetings, most } = Read::deserialize(deserializer)?;
        Ok(Self::of_kept(sessions, meetings, most))
    }
}
