//! STUN messages (RFC 8489) written attribute by attribute.

use std::net::SocketAddrV4;

use flate2::Crc;

use crate::mac::hmac_sha1;

const COOKIE: u32 = 0x2112_a442;
pub(crate) const BINDING_REQUEST: u16 = 0x0001;
pub(crate) const BINDING_SUCCESS: u16 = 0x0101;
pub(crate) const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;

/// A message in the making.
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new(kind: u16, transaction: &[u8; 12]) -> Self {
        let mut out = kind.to_be_bytes().to_vec();
        out.extend([0, 0]);
        out.extend(COOKIE.to_be_bytes());
        out.extend(transaction);
        Self(out)
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.set_length(0);
        self
    }

    /// XOR-MAPPED-ADDRESS; `kind` differs between RFC 8489 (0x0020) and Microsoft's dialect (0x8020).
    pub(crate) fn xor_address(self, kind: Option<u16>, address: SocketAddrV4) -> Self {
        let mut value = vec![0, 1];
        value.extend((address.port() ^ (COOKIE >> 16) as u16).to_be_bytes());
        value.extend((u32::from(*address.ip()) ^ COOKIE).to_be_bytes());
        self.attribute(kind.unwrap_or(XOR_MAPPED_ADDRESS), &value)
    }

    /// MESSAGE-INTEGRITY under a short-term password.
    pub(crate) fn integrity(mut self, password: &[u8]) -> Self {
        self.set_length(24);
        let mac = hmac_sha1(password, &self.0);
        self.attribute(MESSAGE_INTEGRITY, &mac)
    }

    pub(crate) fn fingerprint(mut self) -> Vec<u8> {
        self.set_length(8);
        let mut crc = Crc::new();
        crc.update(&self.0);
        self.attribute(FINGERPRINT, &(crc.sum() ^ 0x5354_554e).to_be_bytes()).0
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// The length field, counting `more` bytes that are still to come.
    fn set_length(&mut self, more: usize) {
        let length = u16::try_from(self.0.len() - 20 + more).unwrap();
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
    }
}
