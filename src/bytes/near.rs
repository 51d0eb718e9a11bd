//! Bytes near valid ones, for property tests. Noise dies at the first length or magic value of a parser; what is behind
//! it is reached by a vector of which a few bytes were replaced, put in, taken out, said twice, or cut off.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Changes to one vector at most.
const MOST: usize = 4;

#[derive(Debug, Clone)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

/// Any byte, and oftener those at which lengths, signs and marks turn over.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![4 => any::<u8>(), 4 => select(vec![0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff])]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        6 => (any::<Index>(), byte()).prop_map(|(at, value)| Damage::Replace(at, value)),
        2 => (any::<Index>(), vec(byte(), 1..6)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (any::<Index>(), 1_usize..6).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => (any::<Index>(), 1_usize..40).prop_map(|(at, length)| Damage::Repeat(at, length)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        // The place behind the last byte is one too, but not to replace something at.
        let place = |at: Index| at.index(bytes.len() + 1);
        match self {
            Self::Replace(at, value) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            Self::Replace(..) => {}
            Self::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more);
            }
            Self::Remove(at, length) => {
                let at = place(at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Repeat(at, length) => {
                let at = place(at);
                let again = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Cut(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
        }
    }
}

/// One of these vectors, as it is or with up to [`MOST`] changes.
pub(crate) fn near(vectors: impl IntoIterator<Item: AsRef<[u8]>>) -> BoxedStrategy<Vec<u8>> {
    let vectors: Vec<Vec<u8>> = vectors.into_iter().map(|vector| vector.as_ref().to_vec()).collect();
    let damaged = (select(vectors), vec(damage(), 0..=MOST)).prop_map(|(mut bytes, changes)| {
        for change in changes {
            change.apply(&mut bytes);
        }
        bytes
    });
    damaged.boxed()
}

/// The same of texts; what is not UTF-8 any more becomes U+FFFD.
pub(crate) fn near_text(texts: impl IntoIterator<Item: AsRef<[u8]>>) -> BoxedStrategy<String> {
    near(texts).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).boxed()
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn some_are_the_vector_most_are_near_it_and_none_is_far() {
        let vector: Vec<u8> = (0..100).collect();
        let strategy = near([&vector]);
        let mut runner = TestRunner::deterministic();
        let made: Vec<Vec<u8>> =
            (0..500).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
        let same = made.iter().filter(|bytes| **bytes == vector).count();
        let longer = made.iter().filter(|bytes| bytes.len() > 100).count();
        let shorter = made.iter().filter(|bytes| bytes.len() < 100).count();
        assert!((50..250).contains(&same) && longer > 50 && shorter > 50, "{same} {longer} {shorter}");
        assert!(made.iter().all(|bytes| bytes.len() <= 100 + MOST * 40));
        // What is left of the vector in a row is most of what there is, where nothing was cut.
        let begin = |bytes: &Vec<u8>| bytes.iter().zip(&vector).take_while(|(one, two)| one == two).count();
        assert!(made.iter().filter(|bytes| begin(bytes) >= 20).count() > 250);
    }
}
