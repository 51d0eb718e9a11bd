//! Who reaches whom without whom, in a graph of endpoints that share streams.
//!
//! In: pairs of vertices. Out: the block (biconnected component) of each pair. Two neighbours of a vertex reach each other without
//! it just where their edges to it are of one block, so that one walk over the graph answers for all vertices. Hopcroft and
//! Tarjan, "Algorithm 447: efficient algorithms for graph manipulation" (CACM 16, 1973); without recursion, as a chain of
//! strangers may be long.

use std::collections::BTreeMap;

use hashbrown::HashMap;

/// The block of each edge, by its two vertices in ascending order.
#[derive(Debug, Default)]
pub(super) struct Blocks(HashMap<(usize, usize), usize>);

/// A vertex on the way from the root, with its neighbours that were not looked at.
struct Step {
    vertex: usize,
    from: Option<usize>,
    /// The earliest vertex that is reached from here and below.
    low: usize,
    next: usize,
}

impl Blocks {
    /// Of a graph; an edge may be given more than once, and one from a vertex to itself is none.
    pub(super) fn of(edges: impl Iterator<Item = (usize, usize)>) -> Self {
        let mut neighbours: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut all: Vec<(usize, usize)> =
            edges.filter(|(one, two)| one != two).map(|(one, two)| ordered(one, two)).collect();
        all.sort_unstable();
        all.dedup();
        for (one, two) in all {
            neighbours.entry(one).or_default().push(two);
            neighbours.entry(two).or_default().push(one);
        }
        let mut walk = Walk { neighbours: &neighbours, order: HashMap::new(), open: Vec::new(), count: 0 };
        let mut blocks = Self::default();
        for root in neighbours.keys() {
            if !walk.order.contains_key(root) {
                walk.from(*root, &mut blocks);
            }
        }
        blocks
    }

    /// The block of the edge between two vertices, where there is one.
    pub(super) fn between(&self, one: usize, two: usize) -> Option<usize> {
        self.0.get(&ordered(one, two)).copied()
    }
}

fn ordered(one: usize, two: usize) -> (usize, usize) {
    (one.min(two), one.max(two))
}

/// A walk in depth.
struct Walk<'g> {
    neighbours: &'g BTreeMap<usize, Vec<usize>>,
    /// When each vertex was come to.
    order: HashMap<usize, usize>,
    /// Edges whose block is not known yet.
    open: Vec<(usize, usize)>,
    /// Blocks so far.
    count: usize,
}

impl Walk<'_> {
    fn from(&mut self, root: usize, blocks: &mut Blocks) {
        let mut path = vec![self.step(root, None)];
        while let Some(step) = path.last_mut() {
            let (vertex, from) = (step.vertex, step.from);
            let neighbour = self.neighbours.get(&vertex).and_then(|all| all.get(step.next)).copied();
            step.next = step.next.saturating_add(1);
            match neighbour {
                Some(neighbour) if Some(neighbour) == from => {}
                Some(neighbour) => {
                    let below = if let Some(seen) = self.order.get(&neighbour).copied() {
                        step.low = step.low.min(seen);
                        if self.order.get(&vertex).is_none_or(|here| *here < seen) {
                            // That edge was looked at from below.
                            continue;
                        }
                        None
                    } else {
                        Some(self.step(neighbour, Some(vertex)))
                    };
                    self.open.push((vertex, neighbour));
                    path.extend(below);
                }
                None => {
                    let low = step.low;
                    path.pop();
                    let Some(above) = path.last_mut() else { continue };
                    above.low = above.low.min(low);
                    let reached = self.order.get(&above.vertex).copied().unwrap_or(0);
                    if low >= reached {
                        self.close((above.vertex, vertex), blocks);
                    }
                }
            }
        }
    }

    fn step(&mut self, vertex: usize, from: Option<usize>) -> Step {
        let order = self.order.len();
        self.order.insert(vertex, order);
        Step { vertex, from, low: order, next: 0 }
    }

    /// All edges since this one are a block with it.
    fn close(&mut self, first: (usize, usize), blocks: &mut Blocks) {
        while let Some(edge) = self.open.pop() {
            blocks.0.insert(ordered(edge.0, edge.1), self.count);
            if edge == first {
                break;
            }
        }
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::union::Union;
    use super::*;

    proptest! {
        #[test]
        fn two_neighbours_are_of_one_block_where_they_reach_each_other_without_the_vertex(
            edges in prop::collection::vec((0_usize..9, 0_usize..9), 0..20),
        ) {
            let blocks = Blocks::of(edges.iter().copied());
            for vertex in 0..9 {
                let mut without = Union::new(9);
                for (one, two) in edges.iter().filter(|(one, two)| *one != vertex && *two != vertex) {
                    without.join(*one, *two);
                }
                let next: Vec<usize> = (0..9).filter(|other| blocks.between(vertex, *other).is_some()).collect();
                let expected: Vec<usize> = (0..9)
                    .filter(|other| {
                        *other != vertex
                            && (edges.contains(&(vertex, *other)) || edges.contains(&(*other, vertex)))
                    })
                    .collect();
                prop_assert_eq!(&next, &expected);
                for one in &next {
                    for two in &next {
                        let same = blocks.between(vertex, *one) == blocks.between(vertex, *two);
                        prop_assert_eq!(same, without.find(*one) == without.find(*two));
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_chain_takes_no_stack() {
        let blocks = Blocks::of((0..200_000).map(|place| (place, place + 1)));
        assert_ne!(blocks.between(7, 8), blocks.between(8, 9));
        assert_eq!(blocks.between(7, 9), None);
    }
}
