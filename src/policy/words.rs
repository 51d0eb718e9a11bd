//! The words of the language that stand for one of a few values.

/// How grave a broken rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "the two grades that findings have")]
pub enum Severity {
    /// Look at it.
    #[default]
    High,
    /// Worth knowing.
    Notice,
}

/// What happens where it cannot be determined whether a rule is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "the three ways out")]
pub enum Unknown {
    /// As if the rule were broken: an alert of the rule's own severity, and exit status 3.
    Alert,
    /// An alert of severity `notice` that says what is not known; the exit status stays.
    #[default]
    Notice,
    /// Nothing.
    Ignore,
}

/// Which fact about a server counts as its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub(super) enum Fact {
    /// Where databases place the address.
    LocatedIn,
    /// Where the network's holder is registered, by a database that says so.
    RegisteredIn,
    /// Where the AS that announces the network is registered.
    OperatedBy,
    /// Where the company that runs the service is at home.
    ServiceOperator,
    /// Each of them that is known.
    Any,
}

/// What ciphertext may not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub(super) enum CipherWord {
    /// Blocks that repeat as under ECB.
    Ecb,
    /// Media in the clear.
    Plain,
    /// A key that went in the clear.
    KeyInClear,
}

/// A word and its value.
pub(super) type Word<T> = (&'static str, T);

pub(super) const SEVERITIES: &[Word<Severity>] = &[("high", Severity::High), ("notice", Severity::Notice)];
pub(super) const UNKNOWNS: &[Word<Unknown>] =
    &[("alert", Unknown::Alert), ("notice", Unknown::Notice), ("ignore", Unknown::Ignore)];
pub(super) const FACTS: &[Word<Fact>] = &[
    ("located_in", Fact::LocatedIn),
    ("registered_in", Fact::RegisteredIn),
    ("operated_by", Fact::OperatedBy),
    ("service_operator", Fact::ServiceOperator),
    ("any", Fact::Any),
];
pub(super) const CIPHER_WORDS: &[Word<CipherWord>] =
    &[("ecb", CipherWord::Ecb), ("plain", CipherWord::Plain), ("key_in_clear", CipherWord::KeyInClear)];

/// `keys.method` of session records.
pub const KEYINGS: [&str; 9] = [
    "dtls_srtp",
    "zrtp",
    "sdes",
    "key_service",
    "end_to_end",
    "proprietary",
    "none",
    "inside_tls",
    "not_determinable",
];

/// The same as what is said of a session.
pub(super) fn keying_words(keying: &str) -> &'static str {
    match keying {
        "dtls_srtp" => "media keys arise by DTLS-SRTP",
        "zrtp" => "media keys arise by ZRTP",
        "sdes" => "media keys are sent in SDP (SDES)",
        "key_service" => "media keys come from a service",
        "end_to_end" => "media keys arise end-to-end",
        "proprietary" => "media keys arise in a way of the app's own",
        "none" => "media is not encrypted",
        "inside_tls" => "media keys are agreed inside of TLS",
        _ => "how media keys arise is not determinable",
    }
}

/// The same as what is asked for.
pub(super) fn keying_name(keying: &str) -> &str {
    match keying {
        "dtls_srtp" => "DTLS-SRTP",
        "zrtp" => "ZRTP",
        "sdes" => "SDES",
        "key_service" => "keys from a service",
        "end_to_end" => "end-to-end keys",
        "proprietary" => "a way of the app's own",
        "none" => "no encryption",
        "inside_tls" => "keys agreed inside of TLS",
        "not_determinable" => "keying that is not determinable",
        other => other,
    }
}

/// `cipher.verdict` of session records.
pub const CIPHERS: [&str; 9] = [
    "ecb_confirmed",
    "ecb_very_likely",
    "ecb_suspicious",
    "not_encrypted",
    "begins_in_clear",
    "inconclusive",
    "no_ecb_evidence",
    "stream_lengths",
    "aead_framing",
];

/// The participants of the meeting, as a place.
pub(super) const PARTICIPANTS: &str = "participants";
/// Where the company that runs the service is at home, as a place.
pub(super) const OPERATOR_HOME: &str = "operator_home";

/// The word of `known` that is nearest to what was written, where it is near enough to be meant.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LONGEST: usize = 64;
    if written.len() > LONGEST {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let target = plain(written);
    let letters = target.chars().count();
    let mut best: Option<(usize, &str)> = None;
    for word in known {
        if word.len() > LONGEST {
            continue;
        }
        let candidate = plain(word);
        let away = distance(&target, &candidate);
        // A third of the letters; or a word that one of both begins with.
        let longest = letters.max(candidate.chars().count());
        let allowed = longest.checked_div(3).unwrap_or(0);
        let begins = letters >= 3 && (candidate.starts_with(&target) || target.starts_with(&candidate));
        if (away <= allowed || begins) && best.is_none_or(|(least, _)| away < least) {
            best = Some((away, word));
        }
    }
    best.map(|(_, word)| word)
}

/// Letters to insert, delete, replace or swap with their neighbour to make one word the other (optimal string alignment).
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=two.len()).collect();
    let mut last: Option<char> = None;
    for (row, letter) in one.chars().enumerate() {
        let mut line = Vec::with_capacity(above.len());
        let mut left = row.saturating_add(1);
        line.push(left);
        let mut previous: Option<char> = None;
        for (column, other) in two.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column).saturating_add(usize::from(letter != *other));
            let inserted = left.saturating_add(1);
            let deleted = at(&above, column.saturating_add(1)).saturating_add(1);
            let mut fewest = replaced.min(inserted).min(deleted);
            if last == Some(*other) && previous == Some(letter) {
                fewest = fewest.min(at(&before, column.saturating_sub(1)).saturating_add(1));
            }
            line.push(fewest);
            left = fewest;
            previous = Some(*other);
        }
        last = Some(letter);
        before = std::mem::replace(&mut above, line);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters_and_swaps() {
        for (one, two, away) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("severity", "severtiy", 1),
            ("ca", "ac", 1),
            ("zürich", "zurich", 1),
        ] {
            assert_eq!((distance(one, two), distance(two, one)), (away, away), "{one} {two}");
        }
    }

    #[test]
    fn the_nearest_word_is_one_that_could_be_meant() {
        let known = ["severity", "signalling", "sites", "subnets", "deny", "key_holders"];
        for (written, meant) in [
            ("severty", Some("severity")),
            ("signaling", Some("signalling")),
            ("Key-Holders", Some("key_holders")),
            ("key_holder", Some("key_holders")),
            ("subnet", Some("subnets")),
            ("dney", Some("deny")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
        assert_eq!(nearest(&"s".repeat(10_000), known), None);
    }
}
