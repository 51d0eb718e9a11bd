//! What a rule demands of a session. A rule is broken where one of its demands is.

use super::place::{Places, Term};
use super::words::CipherWord;

/// A demand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Demand {
    /// Of the servers that could hold the media key.
    Holders(HolderDemand),
    /// Of servers by what they did.
    Servers(ServerKind, Places),
    /// Of the way in which keys arise.
    Keying { allow: Vec<String>, deny: Vec<String> },
    /// Of the ciphertext: what it may not show.
    Cipher(Vec<CipherWord>),
    /// That nobody but the participants could hold the key.
    EndToEnd,
    /// Of the app.
    App { allow: Vec<String>, deny: Vec<String>, deny_unknown: bool },
}

/// Which servers could hold a key, and where those may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HolderDemand {
    /// Where they may be.
    pub(super) places: Places,
    /// How sure it has to be that a server could hold the key, 0 to 1.
    pub(super) at_least: f32,
    /// Servers of which that is not determinable count as if they could.
    pub(super) count_unknown: bool,
}

/// Servers by what they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerKind {
    Media,
    Signalling,
    Relay,
    /// All of the three.
    Any,
}

impl ServerKind {
    /// The key of the language.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Signalling => "signalling",
            Self::Relay => "relays",
            Self::Any => "servers",
        }
    }

    /// In words, for one of them.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Media => "media server",
            Self::Signalling => "signalling server",
            Self::Relay => "relay",
            Self::Any => "server",
        }
    }

    pub(super) fn takes(self, roles: &[&str]) -> bool {
        let has = |role: &str| roles.contains(&role);
        match self {
            Self::Media => has("media"),
            Self::Signalling => has("signalling"),
            Self::Relay => has("relay"),
            Self::Any => has("media") || has("signalling") || has("relay"),
        }
    }
}

impl Demand {
    /// True where it asks where participants sit.
    pub(super) fn asks_for_participants(&self) -> bool {
        match self {
            Self::Holders(HolderDemand { places, .. }) | Self::Servers(_, places) => {
                places.allow.iter().chain(&places.deny).any(|term| *term == Term::Participants)
            }
            Self::Keying { .. } | Self::Cipher(_) | Self::EndToEnd | Self::App { .. } => false,
        }
    }

    /// The key of the language.
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::Holders(_) => "key_holders",
            Self::Servers(kind, _) => kind.key(),
            Self::Keying { .. } => "keying",
            Self::Cipher(_) => "cipher",
            Self::EndToEnd => "end_to_end",
            Self::App { .. } => "app",
        }
    }
}
