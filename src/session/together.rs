//! Which sessions are in one meeting, where some pairs speak for it and some against. In: pairs with their confidence. Out: sets.
//!
//! The surest pair is taken first. Two sets grow together unless a member of one contradicts a member of the other, or the pair is of
//! two ends of one connection and not all of one set were there with all of the other.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::union::Union;
use crate::time::Timestamp;

/// Two sessions that something ties well enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tie {
    pub(super) confidence: f32,
    pub(super) pair: (usize, usize),
    /// What ties them is what two ends of one connection show, not the members of a room.
    pub(super) of_two: bool,
}

/// Sessions that are in one meeting.
#[derive(Debug, Clone)]
pub(super) struct Set {
    members: Vec<usize>,
    /// That of the weakest pair that was needed.
    confidence: f32,
    /// When the last of them came.
    from: Timestamp,
    /// When the first of them left.
    to: Timestamp,
}

/// The sets of two and more, by who stands for each, and who that is for each session.
#[derive(Debug)]
pub(super) struct Sets {
    union: Union,
    sets: HashMap<usize, Set>,
}

impl Sets {
    /// Puts together; `there` says from when to when each session lasted, `most` how sure a set of one is.
    pub(super) fn of(
        mut ties: Vec<Tie>,
        contradicted: &BTreeSet<(usize, usize)>,
        there: &[(Timestamp, Timestamp)],
        most: f32,
    ) -> Self {
        ties.retain(|tie| !contradicted.contains(&tie.pair));
        ties.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.pair.cmp(&b.pair)));
        let against = against(&ties, contradicted);
        let mut all = Self { union: Union::new(there.len()), sets: HashMap::new() };
        for Tie { confidence, pair, of_two } in ties {
            let (one, two) = (all.union.find(pair.0), all.union.find(pair.1));
            if one == two {
                continue;
            }
            let mut set = |root: usize| {
                all.sets.remove(&root).unwrap_or_else(|| {
                    let (from, to) = there.get(root).copied().unwrap_or_default();
                    Set { members: vec![root], confidence: most, from, to }
                })
            };
            let (first, second) = (set(one), set(two));
            if all.contradict(&against, &first, &second) || (of_two && !first.overlaps(&second)) {
                all.sets
                    .extend([(one, first), (two, second)].into_iter().filter(|(_, set)| set.is_of_many()));
                continue;
            }
            all.union.join(one, two);
            all.sets.insert(all.union.find(one), first.with(second, confidence));
        }
        all
    }

    /// Whether members of two sets contradict each other.
    fn contradict(&mut self, against: &HashMap<usize, Vec<usize>>, one: &Set, two: &Set) -> bool {
        if against.is_empty() {
            return false;
        }
        let (few, many) = if one.members.len() <= two.members.len() { (one, two) } else { (two, one) };
        let Some(root) = many.members.first().map(|member| self.union.find(*member)) else { return false };
        let opponents = few.members.iter().filter_map(|member| against.get(member)).flatten();
        opponents.into_iter().any(|opponent| self.union.find(*opponent) == root)
    }

    /// Who stands for the set that a session is in.
    pub(super) fn find(&mut self, session: usize) -> usize {
        self.union.find(session)
    }

    /// The sets of two and more, each by who stands for it, with its members in rising order and how sure it is.
    pub(super) fn into_sets(self) -> impl Iterator<Item = (usize, Vec<usize>, f32)> {
        let mut sets: Vec<(usize, Set)> = self.sets.into_iter().collect();
        sets.sort_unstable_by_key(|(root, _)| *root);
        sets.into_iter().map(|(root, mut set)| {
            set.members.sort_unstable();
            (root, set.members, set.confidence)
        })
    }
}

/// Who contradicts whom, both ways, of those that something ties.
fn against(ties: &[Tie], contradicted: &BTreeSet<(usize, usize)>) -> HashMap<usize, Vec<usize>> {
    let mut against: HashMap<usize, Vec<usize>> = HashMap::new();
    if contradicted.is_empty() {
        return against;
    }
    let known: HashSet<usize> = ties.iter().flat_map(|tie| [tie.pair.0, tie.pair.1]).collect();
    for (one, two) in contradicted.iter().filter(|(one, two)| known.contains(one) && known.contains(two)) {
        against.entry(*one).or_default().push(*two);
        against.entry(*two).or_default().push(*one);
    }
    against
}

impl Set {
    const fn is_of_many(&self) -> bool {
        self.members.len() > 1
    }

    /// Whether all of one set were there with all of the other: who calls one and then another is in two calls, also where
    /// that is one session.
    fn overlaps(&self, other: &Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    fn with(self, other: Self, confidence: f32) -> Self {
        let (few, many) =
            if self.members.len() <= other.members.len() { (self, other) } else { (other, self) };
        let mut members = many.members;
        members.extend(few.members);
        Self {
            members,
            confidence: many.confidence.min(few.confidence).min(confidence),
            from: many.from.max(few.from),
            to: many.to.min(few.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: f32 = 0.99;

    /// What the rule says, pair by pair of members.
    fn by_all_pairs(
        ties: &[Tie],
        contradicted: &BTreeSet<(usize, usize)>,
        there: &[(Timestamp, Timestamp)],
    ) -> Vec<(Vec<usize>, f32)> {
        let mut ties: Vec<&Tie> = ties.iter().filter(|tie| !contradicted.contains(&tie.pair)).collect();
        ties.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.pair.cmp(&b.pair)));
        let mut sets: Vec<(BTreeSet<usize>, f32)> =
            (0..there.len()).map(|session| (BTreeSet::from([session]), MOST)).collect();
        for tie in ties {
            let place = |session: usize| sets.iter().position(|(set, _)| set.contains(&session)).unwrap();
            let (one, two) = (place(tie.pair.0), place(tie.pair.1));
            let pairs = || sets[one].0.iter().flat_map(|a| sets[two].0.iter().map(move |b| (*a, *b)));
            let against = pairs().any(|(a, b)| contradicted.contains(&(a.min(b), a.max(b))));
            let apart = pairs().any(|(a, b)| there[a].0 > there[b].1 || there[b].0 > there[a].1);
            if one == two || against || (tie.of_two && apart) {
                continue;
            }
            let (more, too) = sets[two].clone();
            sets[one].0.extend(more);
            sets[one].1 = sets[one].1.min(too).min(tie.confidence);
            sets.remove(two);
        }
        let mut sets: Vec<(Vec<usize>, f32)> = sets
            .into_iter()
            .filter(|(set, _)| set.len() > 1)
            .map(|(set, sure)| (set.into_iter().collect(), sure))
            .collect();
        sets.sort_by(|a, b| a.0.cmp(&b.0));
        sets
    }

    fn pair() -> impl Strategy<Value = (usize, usize)> {
        (0_usize..10, 0_usize..10)
            .prop_filter("two sessions", |(one, two)| one != two)
            .prop_map(|(one, two)| (one.min(two), one.max(two)))
    }

    proptest! {
        #[test]
        fn sets_are_those_that_the_rule_gives_pair_by_pair(
            ties in prop::collection::btree_map(pair(), (70_u8..100, any::<bool>()), 0..24),
            contradicted in prop::collection::btree_set(pair(), 0..6),
            spans in prop::collection::vec((0_i64..6, 1_i64..6), 10),
        ) {
            let ties: Vec<Tie> = ties
                .into_iter()
                .map(|(pair, (sure, of_two))| Tie { confidence: f32::from(sure) / 100.0, pair, of_two })
                .collect();
            let at = |second: i64| Timestamp::from_secs_nanos(second, 0);
            let there: Vec<_> = spans.iter().map(|(from, lasts)| (at(*from), at(from + lasts))).collect();
            let expected = by_all_pairs(&ties, &contradicted, &there);
            let mut sets = Sets::of(ties, &contradicted, &there, MOST);
            for (members, _) in &expected {
                prop_assert!(members.iter().all(|member| sets.find(*member) == members[0]));
            }
            let found: Vec<_> = sets.into_sets().map(|(_, members, sure)| (members, sure)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
