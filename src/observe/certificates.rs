//! Certificates into facts. A server shows the same chain to everybody: each certificate is read once.

use std::cell::RefCell;
use std::sync::Arc;

use super::PacketRef;
use super::facts::{Certificate, CertificateBody};
use super::memo::Memo;
use crate::bytes::hex;
use crate::proto::tls::certificate::{Chain, Facts};

/// Certificates kept of a chain.
const CHAIN_CAP: usize = 6;
/// Certificates remembered by each thread, with their bytes: some 4 MB.
const MEMO_CAP: usize = 2048;
/// Longer ones are read anew each time.
const MEMO_DER_CAP: usize = 4096;

thread_local! {
    static MEMO: RefCell<Memo<Option<Arc<CertificateBody>>>> = RefCell::new(Memo::new(MEMO_CAP, MEMO_DER_CAP));
}

/// Certificates of a chain, leaf first.
///
/// # Errors
/// The name of the field that broke, when no certificate could be read.
pub(super) fn certificates(body: &[u8], packet: PacketRef) -> Result<Vec<Certificate>, &'static str> {
    of_chain(&Chain::parse(body).map_err(|error| error.field())?, packet)
}

/// The same for the message of TLS 1.3.
///
/// # Errors
/// The name of the field that broke, when no certificate could be read.
pub(super) fn certificates_1_3(body: &[u8], packet: PacketRef) -> Result<Vec<Certificate>, &'static str> {
    of_chain(&Chain::parse_1_3(body).map_err(|error| error.field())?, packet)
}

fn of_chain(chain: &Chain<'_>, packet: PacketRef) -> Result<Vec<Certificate>, &'static str> {
    let mut out = Vec::new();
    let mut is_broken = false;
    for der in chain.certificates().take(CHAIN_CAP) {
        match MEMO.with_borrow_mut(|memo| memo.of(der, || read(der))) {
            Some(body) => out.push(Certificate { body, packet }),
            None => is_broken = true,
        }
    }
    if out.is_empty() && is_broken { Err("certificate") } else { Ok(out) }
}

fn read(der: &[u8]) -> Option<Arc<CertificateBody>> {
    let facts = Facts::parse(der).ok()?;
    Some(Arc::new(CertificateBody {
        subject_cn: facts.subject_cn,
        subject_o: facts.subject_o,
        issuer_cn: facts.issuer_cn,
        issuer_o: facts.issuer_o,
        dns_names: facts.dns_names,
        not_before: facts.not_before,
        not_after: facts.not_after,
        dns_names_left_out: facts.dns_names_left_out,
        key_algorithm: facts.key_algorithm,
        key_bits: facts.key_bits,
        signature_algorithm: facts.signature_algorithm,
        self_signed: facts.self_signed,
        sha256: hex(&facts.sha256),
    }))
}
