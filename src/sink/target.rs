//! Where records are sent: what `--send` and `--syslog` name. In: text. Out: a [`Target`], or what is wrong with the text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest path of a Unix socket (`sun_path` of Linux, its closing zero left out); others allow less.
const MAX_SOCKET_PATH: usize = 107;

/// A destination on a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// `tcp://HOST:PORT`.
    Tcp(HostPort),
    /// `udp://HOST:PORT`.
    Udp(HostPort),
    /// `unix:/PATH`.
    Unix(PathBuf),
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address; an IPv6 address without its brackets.
    host: String,
    /// From 1.
    port: u16,
}

impl HostPort {
    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// As the resolver of the standard library takes it.
    pub(super) fn pair(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// Why a text names no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It begins with nothing that is known.
    #[error("expected tcp://HOST:PORT, udp://HOST:PORT or unix:/PATH, found {0:?}")]
    Scheme(String),
    /// There is no host before the port.
    #[error("expected HOST:PORT, an IPv6 address in brackets, found {0:?}")]
    Host(String),
    /// What stands for the port is no number from 1 to 65535.
    #[error("expected a port from 1 to 65535, found {0:?}")]
    Port(String),
    /// A path of a socket has to begin with `/` and to fit into a socket's address.
    #[error("expected a path from `/` on with at most {MAX_SOCKET_PATH} bytes, found {0:?}")]
    Path(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(rest) = text.strip_prefix("tcp://") {
            host_port(rest).map(Self::Tcp)
        } else if let Some(rest) = text.strip_prefix("udp://") {
            host_port(rest).map(Self::Udp)
        } else if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            let is_sound = path.starts_with('/') && path.len() <= MAX_SOCKET_PATH && !path.contains('\0');
            is_sound.then(|| Self::Unix(path.into())).ok_or_else(|| TargetError::Path(path.to_owned()))
        } else {
            Err(TargetError::Scheme(text.to_owned()))
        }
    }
}

fn host_port(text: &str) -> Result<HostPort, TargetError> {
    let no_host = || TargetError::Host(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(no_host)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(no_host)?,
        None if host.contains(':') => return Err(no_host()),
        None => host,
    };
    if host.is_empty() || host.contains(['/', '@', ' ']) {
        return Err(no_host());
    }
    let port: u16 =
        port.parse().ok().filter(|port| *port > 0).ok_or_else(|| TargetError::Port(port.to_owned()))?;
    Ok(HostPort { host: host.to_owned(), port })
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(at) => write!(f, "tcp://{at}"),
            Self::Udp(at) => write!(f, "udp://{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_written_back() {
        for text in
            ["tcp://logs.example.org:5140", "udp://192.0.2.1:514", "tcp://[2001:db8::1]:601", "unix:/dev/log"]
        {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///dev/log".parse::<Target>().unwrap().to_string(), "unix:/dev/log");
    }

    #[test]
    fn what_names_no_destination_says_why() {
        let refused = |text: &str| text.parse::<Target>().unwrap_err();
        assert!(matches!(refused("logs:514"), TargetError::Scheme(_)));
        assert!(matches!(refused("tcp://:514"), TargetError::Host(_)));
        assert!(matches!(refused("tcp://2001:db8::1:514"), TargetError::Host(_)));
        assert!(matches!(refused("tcp://user@host:514"), TargetError::Host(_)));
        assert!(matches!(refused("tcp://host"), TargetError::Host(_)));
        assert!(matches!(refused("tcp://host:0"), TargetError::Port(_)));
        assert!(matches!(refused("udp://host:65536"), TargetError::Port(_)));
        assert!(matches!(refused("unix:relative"), TargetError::Path(_)));
        assert!(matches!(refused(&format!("unix:/{}", "a".repeat(107))), TargetError::Path(_)));
    }
}
