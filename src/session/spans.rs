//! Spans of time that are asked over and over which of them overlap another.

use std::time::Duration;

use crate::time::Timestamp;

/// Spans with what they stand for, in the order of their begin.
#[derive(Debug, Clone)]
pub struct Spans<T> {
    /// Begin, end, the latest end of all spans up to here, and what it is.
    spans: Vec<(Timestamp, Timestamp, Timestamp, T)>,
}

impl<T: Copy> Spans<T> {
    /// Sorts the spans, given as begin, end, and what they stand for; of equal begins the given order stays.
    pub fn new(mut spans: Vec<(Timestamp, Timestamp, T)>) -> Self {
        spans.sort_by_key(|(begin, ..)| *begin);
        let mut latest: Option<Timestamp> = None;
        let spans = spans
            .into_iter()
            .map(|(begin, end, what)| {
                let so_far = latest.map_or(end, |latest| latest.max(end));
                latest = Some(so_far);
                (begin, end, so_far, what)
            })
            .collect();
        Self { spans }
    }

    /// Those that have begun by `to` and had not ended `slack` before `from`, the latest begun first.
    pub fn overlapping(
        &self,
        from: Timestamp,
        to: Timestamp,
        slack: Duration,
    ) -> impl Iterator<Item = T> + '_ {
        let begun = self.spans.partition_point(|(begin, ..)| *begin <= to);
        let begun = self.spans.get(..begun).unwrap_or_default();
        begun
            .iter()
            .rev()
            .take_while(move |(.., latest, _)| from.since(*latest) <= slack)
            .filter(move |(_, end, ..)| from.since(*end) <= slack)
            .map(|(.., what)| *what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs_nanos(second, 0)
    }

    #[test]
    fn finds_what_overlaps_also_behind_shorter_spans() {
        let spans = Spans::new(vec![
            (at(0), at(100), 'a'),
            (at(10), at(20), 'b'),
            (at(30), at(35), 'c'),
            (at(90), at(95), 'd'),
        ]);
        let found = |from, to, slack| -> String {
            spans.overlapping(at(from), at(to), Duration::from_secs(slack)).collect()
        };
        assert_eq!(found(40, 50, 0), "a");
        assert_eq!(found(40, 50, 6), "ca");
        assert_eq!(found(0, 200, 0), "dcba");
        assert_eq!(found(101, 200, 0), "");
    }
}
