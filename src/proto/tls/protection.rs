//! Record protection: the suites that can be opened, and one direction's key. RFC 8446 section 5.2, RFC 5246 section 6.2.3.3,
//! RFC 5288, 6655, 7905.
//!
//! In: a suite, a secret of a key log, protected records in order. Out: the content of each, only ever after its tag was
//! checked. Not handled: suites without an AEAD (CBC, RC4, NULL) and compression.

use zeroize::Zeroizing;

use super::record::Record;
use super::registry::{CipherSuite, ContentType};
use crate::crypto::aead::{Algorithm, NONCE, OpeningKey, numbered_nonce};
use crate::crypto::kdf::{self, Hash, Prefix, Secret};

/// Bytes of the nonce that a record of TLS 1.2 carries with GCM and CCM (RFC 5288 section 3).
const EXPLICIT_NONCE: usize = 8;

/// What a suite with an AEAD is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an AEAD and a hash are all there is")]
pub struct Suite {
    /// What seals records.
    pub aead: Algorithm,
    /// What keys are derived with.
    pub hash: Hash,
}

impl Suite {
    /// The parts of `suite`, of TLS 1.2 or 1.3; `None` for one without an AEAD that is known here.
    pub fn of(suite: CipherSuite) -> Option<Self> {
        let name = suite.name()?;
        let cipher = name.split_once("_WITH_").map_or(name, |(_, cipher)| cipher);
        let cipher = cipher.strip_prefix("TLS_").unwrap_or(cipher);
        let (cipher, hash) = if let Some(cipher) = cipher.strip_suffix("_SHA384") {
            (cipher, Hash::Sha384)
        } else {
            (cipher.strip_suffix("_SHA256").unwrap_or(cipher), Hash::Sha256)
        };
        let aead = match cipher {
            "AES_128_GCM" => Algorithm::Aes128Gcm,
            "AES_256_GCM" => Algorithm::Aes256Gcm,
            "CHACHA20_POLY1305" => Algorithm::ChaCha20Poly1305,
            "AES_128_CCM" => Algorithm::Aes128Ccm,
            "AES_256_CCM" => Algorithm::Aes256Ccm,
            "AES_128_CCM_8" => Algorithm::Aes128Ccm8,
            "AES_256_CCM_8" => Algorithm::Aes256Ccm8,
            _ => return None,
        };
        Some(Self { aead, hash })
    }
}

/// The hash of the pseudo-random function of TLS 1.2 and DTLS 1.2 with `suite` (RFC 5246 section 5, RFC 5289).
pub fn prf_hash(suite: CipherSuite) -> Hash {
    if suite.name().is_some_and(|name| name.ends_with("_SHA384")) { Hash::Sha384 } else { Hash::Sha256 }
}

/// What opens the records of one direction, in their order.
#[derive(Debug)]
pub struct RecordKey {
    aead: OpeningKey,
    iv: [u8; NONCE],
    /// Number of the next record.
    sequence: u64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// TLS 1.3; the secret that the next one follows from.
    V13 { hash: Hash, secret: Secret },
    /// TLS 1.2 with a part of the nonce in each record.
    V12Explicit,
    /// TLS 1.2 with ChaCha20-Poly1305.
    V12Numbered,
}

/// Both directions' keys of TLS 1.2.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "two directions there are")]
pub struct Pair {
    /// What opens the client's records.
    pub client: RecordKey,
    /// What opens the server's records.
    pub server: RecordKey,
}

impl RecordKey {
    /// Key and nonce of TLS 1.3 out of a traffic secret (RFC 8446 section 7.3); `None` when that is shorter than the hash.
    pub fn tls13(suite: Suite, secret: &Secret) -> Option<Self> {
        let Suite { aead, hash } = suite;
        let expand = |label, length| kdf::expand_label(hash, secret.bytes(), Prefix::Tls, label, &[], length);
        let key = expand(b"key", aead.key_length())?;
        let iv = expand(b"iv", NONCE)?.bytes().try_into().ok()?;
        let aead = OpeningKey::new(aead, key.bytes())?;
        Some(Self { aead, iv, sequence: 0, form: Form::V13 { hash, secret: secret.clone() } })
    }

    /// Both keys of TLS 1.2 out of the master secret (RFC 5246 section 6.3).
    pub fn tls12(
        suite: Suite,
        master: &Secret,
        client_random: &[u8; 32],
        server_random: &[u8; 32],
    ) -> Option<Pair> {
        let Suite { aead, hash } = suite;
        let key_length = aead.key_length();
        let is_numbered = aead == Algorithm::ChaCha20Poly1305;
        let iv_length = if is_numbered { NONCE } else { NONCE.checked_sub(EXPLICIT_NONCE)? };
        let wanted = key_length.checked_add(iv_length)?.checked_mul(2)?;
        let seed: [&[u8]; 2] = [server_random, client_random];
        let block = kdf::prf(hash, master.bytes(), b"key expansion", &seed, wanted)?;
        let (keys, ivs) = block.bytes().split_at_checked(key_length.checked_mul(2)?)?;
        let (client_key, server_key) = keys.split_at_checked(key_length)?;
        let (client_iv, server_iv) = ivs.split_at_checked(iv_length)?;
        let made = |key, fixed: &[u8]| {
            let mut iv = [0; NONCE];
            iv.get_mut(..iv_length)?.copy_from_slice(fixed);
            let form = if is_numbered { Form::V12Numbered } else { Form::V12Explicit };
            Some(Self { aead: OpeningKey::new(aead, key)?, iv, sequence: 0, form })
        };
        Some(Pair { client: made(client_key, client_iv)?, server: made(server_key, server_iv)? })
    }

    /// Opens the next record. Its content is left in `out`; what kind that is comes back. `None` when the tag does not fit: the
    /// record is not the next one, or the key is another's. The count of records then stands still.
    pub fn open(&mut self, record: &Record<'_>, out: &mut Zeroizing<Vec<u8>>) -> Option<ContentType> {
        out.clear();
        let (nonce, sealed) = match self.form {
            Form::V12Explicit => {
                let (explicit, sealed) = record.fragment.split_first_chunk::<EXPLICIT_NONCE>()?;
                let mut nonce = self.iv;
                nonce.last_chunk_mut::<EXPLICIT_NONCE>()?.copy_from_slice(explicit);
                (nonce, sealed)
            }
            Form::V12Numbered | Form::V13 { .. } => {
                (numbered_nonce(&self.iv, self.sequence), record.fragment)
            }
        };
        out.extend_from_slice(sealed);
        let length = match self.form {
            Form::V13 { .. } => {
                let [high, low] = u16::try_from(sealed.len()).ok()?.to_be_bytes();
                let [major, minor] = record.version.0.to_be_bytes();
                self.aead.open(&nonce, &[record.content_type.0, major, minor, high, low], out)?
            }
            Form::V12Explicit | Form::V12Numbered => {
                let plain = sealed.len().checked_sub(self.aead.algorithm().tag_length())?;
                self.aead.open(&nonce, &self.aad_1_2(record, plain)?, out)?
            }
        };
        out.truncate(length);
        self.sequence = self.sequence.checked_add(1)?;
        match self.form {
            Form::V13 { .. } => inner_type(out),
            Form::V12Explicit | Form::V12Numbered => Some(record.content_type),
        }
    }

    /// What the tag covers beside the content, RFC 5246 section 6.2.3.3.
    fn aad_1_2(&self, record: &Record<'_>, plain: usize) -> Option<[u8; 13]> {
        let mut aad = [0; 13];
        let (number, rest) = aad.split_first_chunk_mut::<8>()?;
        *number = self.sequence.to_be_bytes();
        let [high, low] = u16::try_from(plain).ok()?.to_be_bytes();
        let [major, minor] = record.version.0.to_be_bytes();
        rest.copy_from_slice(&[record.content_type.0, major, minor, high, low]);
        Some(aad)
    }

    /// Takes the step of a `KeyUpdate` (RFC 8446 section 7.2); false where there is none, in TLS 1.2.
    pub fn update(&mut self) -> bool {
        let Form::V13 { hash, secret } = &self.form else { return false };
        let suite = Suite { aead: self.aead.algorithm(), hash: *hash };
        let next = kdf::expand_label(*hash, secret.bytes(), Prefix::Tls, b"traffic upd", &[], hash.length());
        match next.and_then(|next| Self::tls13(suite, &next)) {
            Some(next) => {
                *self = next;
                true
            }
            None => false,
        }
    }
}

/// Takes padding and type off a `TLSInnerPlaintext` (RFC 8446 section 5.2); `None` when there is nothing but padding.
fn inner_type(content: &mut Zeroizing<Vec<u8>>) -> Option<ContentType> {
    let end = content.iter().rposition(|byte| *byte != 0)?;
    let kind = content.get(end).copied()?;
    content.truncate(end);
    Some(ContentType(kind))
}
