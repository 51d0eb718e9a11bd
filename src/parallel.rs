//! Work on many items of a list at once, the results in the order of the list.
//!
//! In: a slice and what is to be done with a piece of it. Out: what came of each piece. What is done may read what it likes and
//! change nothing, so that the answer is the same for any number of threads.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::mpsc::sync_channel;

/// Items of a piece: enough that a thread is worth its start, few enough that what comes of them stays in a cache.
const PIECE: usize = 256;
/// What came of so many pieces waits for each thread.
const AHEAD: usize = 4;

/// How many threads may work at once, this one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// This one alone.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// So many; 0 is one.
    pub const fn new(count: usize) -> Self {
        match NonZeroUsize::new(count) {
            Some(count) => Self(count),
            None => Self::ONE,
        }
    }

    /// How many.
    pub const fn count(self) -> usize {
        self.0.get()
    }

    /// Cuts `items` into pieces, which the threads take in turns; what came of each piece, which is told where it begins, is taken in
    /// their order. A thread is at most [`AHEAD`] pieces ahead of what was taken. A panic is passed on.
    ///
    /// # Errors
    /// The first that `take` says; what the other threads have begun is left.
    pub(crate) fn pieces<T: Sync, R: Send, E>(
        self,
        items: &[T],
        work: impl Fn(usize, &[T]) -> R + Sync,
        mut take: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        let pieces = || (0_usize..).step_by(PIECE).zip(items.chunks(PIECE));
        // This thread does the last of each turn, when the others have begun theirs.
        let others = self.count().min(pieces().count()).saturating_sub(1);
        let turn = others.saturating_add(1);
        let work = &work;
        std::thread::scope(|scope| {
            let mut threads: Vec<_> = (0..others)
                .map(|first| {
                    let (done, results) = sync_channel(AHEAD);
                    let own = pieces().skip(first).step_by(turn);
                    let thread = scope.spawn(move || {
                        for (begin, piece) in own {
                            if done.send(work(begin, piece)).is_err() {
                                break;
                            }
                        }
                    });
                    (thread, results)
                })
                .collect();
            for (number, (begin, piece)) in pieces().enumerate() {
                let place = number.checked_rem(turn).unwrap_or(0);
                let result = match threads.get(place) {
                    None => work(begin, piece),
                    Some((_, results)) => match results.recv() {
                        Ok(result) => result,
                        Err(_) => match threads.swap_remove(place).0.join() {
                            Err(panic) => std::panic::resume_unwind(panic),
                            // It has sent what came of each of its pieces before it ended.
                            Ok(()) => break,
                        },
                    },
                };
                take(result)?;
            }
            Ok(())
        })
    }

    /// Does the same to each item; the results come in the order of the items.
    pub(crate) fn map<T: Sync, R: Send>(self, items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let mut all = Vec::with_capacity(items.len());
        let work = |_, piece: &[T]| piece.iter().map(&each).collect::<Vec<R>>();
        let Ok(()) = self.pieces(items, work, |piece| {
            all.extend(piece);
            Ok::<(), Infallible>(())
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_for_any_number_of_threads_and_items() {
        for count in [0, 1, 2, 3, 8] {
            for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
                let items: Vec<usize> = (0..length).collect();
                let doubled: Vec<usize> = (0..length).map(|item| item * 2).collect();
                assert_eq!(Threads::new(count).map(&items, |item| item * 2), doubled, "{count} threads");
                let mut next = 0;
                let begins = |offset, piece: &[usize]| (offset, piece.first().copied(), piece.len());
                let outcome = Threads::new(count).pieces(&items, begins, |(offset, first, length)| {
                    assert_eq!((offset, first), (next, Some(next)));
                    next += length;
                    if next > 3 * PIECE { Err(next) } else { Ok(()) }
                });
                assert_eq!(outcome, if length > 3 * PIECE { Err(4 * PIECE) } else { Ok(()) });
            }
        }
    }

    #[test]
    fn a_panic_in_a_thread_is_one_here() {
        let items: Vec<usize> = (0..3 * PIECE).collect();
        let outcome = std::panic::catch_unwind(|| {
            Threads::new(4).map(&items, |item| assert_ne!(*item, 3, "this item"));
        });
        assert!(outcome.is_err());
    }
}
