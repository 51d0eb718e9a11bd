//! The measurement in small, on made-up encodings and fixed seeds, so that it runs without ffmpeg.

use super::*;

fn verdicts(cipher: Cipher, framing: Framing, count: u64) -> Counts {
    let rules = classify::embedded().expect("the embedded providers are read");
    let pool = Pool::made_up();
    let trials =
        (0..count).map(|number| Trial { cipher, framing, content: Content::Mixed, seconds: 60, number });
    let (all, counts) = run(&rules, &pool, trials);
    assert_eq!(counts.values().sum::<u64>(), all, "each trial makes a session");
    counts
}

#[test]
fn ecb_is_found_in_both_framings_and_with_both_paddings() {
    for framing in [Framing::Zoom, Framing::Payload] {
        for cipher in [Cipher::EcbZeros, Cipher::EcbPkcs7] {
            let counts = verdicts(cipher, framing, 3);
            assert_eq!(found(&counts), 3, "{cipher:?} {framing:?}: {}", words(&counts));
        }
    }
}

#[test]
fn nothing_else_is_taken_for_ecb() {
    for framing in [Framing::Zoom, Framing::Payload] {
        for cipher in [Cipher::Gcm, Cipher::Ctr, Cipher::Cbc, Cipher::Srtp] {
            let counts = verdicts(cipher, framing, 3);
            assert_eq!(found(&counts), 0, "{cipher:?} {framing:?}: {}", words(&counts));
            let aead = counts.get(&CipherVerdict::AeadFraming).copied().unwrap_or(0);
            let expected = if cipher == Cipher::Gcm && framing == Framing::Zoom { 3 } else { 0 };
            assert_eq!(aead, expected, "{cipher:?} {framing:?}: {}", words(&counts));
        }
    }
}
