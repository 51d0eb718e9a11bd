//! A named server that is spoken to over TLS: name look-up, connection, conversation.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;

use crate::dns;
use crate::net::{MS, Tap, Wire};
use crate::rng::Rng;
use crate::tcp::{self, Path};
use crate::tls::{Authority, Said, Server};

/// A host on the network of the tap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub(crate) tap: Tap,
    pub(crate) address: Ipv4Addr,
    pub(crate) resolver: Ipv4Addr,
}

/// A server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) tls: Server<'static>,
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    /// Tap to server and back, in milliseconds.
    pub(crate) rtt_ms: u64,
}

impl Site {
    /// Looks the name up, connects and says what there is to say; returns when the connection began.
    pub(crate) fn talk(
        &self,
        wire: &mut Wire,
        authority: &Authority,
        host: Host,
        at: u64,
        said: &[Said],
    ) -> Result<u64> {
        let mut rng = Rng::named(&format!("site {} {} {at}", self.tls.sni, host.address));
        let question = (self.tls.sni, self.address);
        let start = dns::lookup(wire, host.tap, at, host.address, host.resolver, question) + MS;
        let path = Path {
            tap: host.tap,
            client: SocketAddrV4::new(host.address, rng.port()),
            server: SocketAddrV4::new(self.address, self.port),
            rtt: self.rtt_ms * MS,
        };
        tcp::play(wire, path, start, &authority.session(&self.tls, said)?);
        Ok(start)
    }
}
