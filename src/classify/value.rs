//! What evidence shows, kept as it was found: words are made of it only where it is written.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// What was seen, in a form that is cheap to keep for every flow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// In words.
    Text(Box<str>),
    /// A number of a registry, written as `0x4000`.
    Number(u16),
    /// So many packets.
    Packets(u32),
    /// An address inside a prefix.
    Prefix {
        /// The address.
        address: IpAddr,
        /// The prefix.
        net: IpNet,
    },
    /// An address by the name that DNS gives it.
    Named {
        /// The address.
        address: IpAddr,
        /// The name.
        name: Arc<str>,
    },
}

impl Value {
    /// The words, where nothing but words is kept.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Packets(_) | Self::Prefix { .. } | Self::Named { .. } => None,
        }
    }

    /// The address that it speaks of, where it speaks of one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Prefix { address, .. } | Self::Named { address, .. } => Some(*address),
            Self::Text(_) | Self::Number(_) | Self::Packets(_) => None,
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_boxed_str())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number:#06x}"),
            Self::Packets(count) => write!(f, "{count} packets"),
            Self::Prefix { address, net } => write!(f, "{address} in {net}"),
            Self::Named { address, name } => write!(f, "{address} is {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_made_where_they_are_written() {
        let address: IpAddr = "198.51.100.7".parse().unwrap();
        let prefix = Value::Prefix { address, net: "198.51.100.0/24".parse().unwrap() };
        assert_eq!(prefix.to_string(), "198.51.100.7 in 198.51.100.0/24");
        let named = Value::Named { address, name: "media.example.org".into() };
        assert_eq!(named.to_string(), "198.51.100.7 is media.example.org");
        assert_eq!((prefix.address(), named.text()), (Some(address), None));
        assert_eq!(Value::from("an offer").text(), Some("an offer"));
        assert_eq!(
            (Value::Number(0x401).to_string(), Value::Number(0x401).text()),
            ("0x0401".to_owned(), None)
        );
        assert_eq!(Value::Packets(3).to_string(), "3 packets");
    }
}
