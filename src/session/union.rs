//! Sets that grow together: which of many things belong to each other.

/// A forest over the numbers from 0; the smallest number of a set stands for it.
#[derive(Debug, Clone)]
pub(super) struct Union {
    parents: Vec<usize>,
}

impl Union {
    /// Each of `count` numbers alone.
    pub(super) fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    /// Who stands for the set of `index`.
    pub(super) fn find(&mut self, index: usize) -> usize {
        let mut at = index;
        while let Some(parent) = self.parents.get(at).copied().filter(|parent| *parent != at) {
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.parents.get_mut(at) {
                *slot = above;
            }
            at = parent;
        }
        at
    }

    /// Puts two sets together. False when they were one already.
    pub(super) fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        if let Some(slot) = self.parents.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
        a != b
    }

    /// All sets, each in rising order, ordered by their smallest member.
    pub(super) fn sets(&mut self) -> Vec<Vec<usize>> {
        let mut sets = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for index in 0..self.parents.len() {
            sets.entry(self.find(index)).or_default().push(index);
        }
        sets.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_what_was_joined_and_in_order() {
        let mut union = Union::new(6);
        assert!(union.join(5, 3) && union.join(1, 3));
        assert!(!union.join(5, 1));
        assert_eq!(union.sets(), [vec![0], vec![1, 3, 5], vec![2], vec![4]]);
    }
}
