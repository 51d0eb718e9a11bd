//! Work on many items of a list at once, the results in the order of the list.
//!
//! In: a slice and what is to be done with a piece of it. Out: what came of each piece. What is done may read what it likes and
//! change nothing, so that the answer is the same for any number of threads.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

/// Most items of a piece: few enough that what comes of them stays in a cache.
const PIECE: usize = 256;
/// Pieces for each thread where there are few items: enough that none waits long for the last.
const PIECES: usize = 8;
/// Items for each thread, at least: it is to be worth being woken.
const WORTH: usize = 16;
/// What came of so many pieces waits for each thread.
const AHEAD: usize = 4;

/// Most threads beside the one that asks.
const MOST: usize = 15;

/// The threads beside the one that asks, by how many they are.
static OTHERS: [Pool; MOST] = [const { Pool::new() }; MOST];

/// Threads that are begun where they are first asked for and wait for more to do until the process ends: a thread that ends gives all
/// its memory back, which takes as long as some ten thousand packets.
#[derive(Debug)]
struct Pool {
    threads: OnceLock<Option<ThreadPool>>,
    /// What they were given and still work at.
    at_work: AtomicUsize,
}

impl Pool {
    const fn new() -> Self {
        Self { threads: OnceLock::new(), at_work: AtomicUsize::new(0) }
    }

    /// None where threads cannot be begun, and while they are at work.
    fn claim(&'static self, count: usize) -> Option<Others> {
        let begin = || ThreadPoolBuilder::new().num_threads(count).build().ok();
        let threads = self.threads.get_or_init(begin).as_ref()?;
        let at_work = &self.at_work;
        let is_ours = at_work.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours.then(|| Others { threads, at_work: AtWork(at_work) })
    }
}

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

    /// The threads beside this one, and nobody else's until they are done. None where there are to be none or none can be begun; while they
    /// are at work, and for one of such threads: who asks and they could wait for each other.
    pub(crate) fn others(self) -> Option<Others> {
        let count = self.count().saturating_sub(1).min(MOST);
        let pool = OTHERS.get(count.checked_sub(1)?)?;
        if rayon_core::current_thread_index().is_some() { None } else { pool.claim(count) }
    }

    /// Cuts `items` into pieces. A thread that is free works on the next, and what came of each piece, which is told where it begins, is
    /// taken by this thread in their order; while there is nothing to take it works as the others do. A panic is passed on.
    ///
    /// # Errors
    /// The first that `take` says; what the other threads have begun is left.
    pub(crate) fn pieces<T: Sync, R: Send, E>(
        self,
        items: &[T],
        work: impl Fn(usize, &[T]) -> R + Sync,
        take: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pieces_beside(|| (), Some(AHEAD), items, work, take).1
    }

    /// Does `first`, which one thread alone can do, while the others work; then takes what came of each piece. Of `ahead` pieces for each
    /// thread what came of them may wait; of all, where that is none.
    fn pieces_beside<A, T: Sync, R: Send, E>(
        self,
        first: impl FnOnce() -> A,
        ahead: Option<usize>,
        items: &[T],
        work: impl Fn(usize, &[T]) -> R + Sync,
        mut take: impl FnMut(R) -> Result<(), E>,
    ) -> (A, Result<(), E>) {
        let worth = items.len().div_ceil(WORTH).saturating_sub(1);
        let pool = if worth > 0 { self.others() } else { None };
        let others = pool.as_ref().map_or(0, |pool| pool.count().min(worth));
        let length = items.len().div_ceil(PIECES.saturating_mul(others.saturating_add(1))).clamp(1, PIECE);
        let count = items.len().div_ceil(length);
        let ahead = ahead.map_or(count, |ahead| ahead.saturating_mul(others.saturating_add(1)));
        let table = Table::new(count, ahead);
        let work = |number: usize| {
            let begin = number.saturating_mul(length);
            let piece = items.get(begin..).unwrap_or_default();
            work(begin, piece.get(..length).unwrap_or(piece))
        };
        let follow = || {
            let _leaving = Leaving { table: &table, stops: false };
            while let Some(number) = table.begin() {
                table.put(number, work(number));
            }
        };
        let lead = || {
            let _leaving = Leaving { table: &table, stops: true };
            let first = first();
            let taken = (0..count).map_while(|number| table.get(number, &work)).try_for_each(&mut take);
            (first, taken)
        };
        let Some(pool) = pool else { return lead() };
        pool.threads.in_place_scope(|scope| {
            for _ in 0..others {
                scope.spawn(|_| follow());
            }
            lead()
        })
    }

    /// The same where taking cannot fail.
    pub(crate) fn in_order<T: Sync, R: Send>(
        self,
        items: &[T],
        work: impl Fn(usize, &[T]) -> R + Sync,
        mut take: impl FnMut(R),
    ) {
        let Ok(()) = self.pieces(items, work, |result| {
            take(result);
            Ok::<(), Infallible>(())
        });
    }

    /// Does the same to each item; the results come in the order of the items.
    pub(crate) fn map<T: Sync, R: Send>(self, items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
        self.map_pieces(items, |piece| piece.iter().map(&each).collect())
    }

    /// The same while this thread does `first`, which one thread alone can do.
    pub(crate) fn map_beside<A, T: Sync, R: Send>(
        self,
        first: impl FnOnce() -> A,
        items: &[T],
        each: impl Fn(&T) -> R + Sync,
    ) -> (A, Vec<R>) {
        let mut all = Vec::with_capacity(items.len());
        let work = |_, piece: &[T]| piece.iter().map(&each).collect::<Vec<R>>();
        let (first, Ok(())) = self.pieces_beside(first, None, items, work, |piece| {
            all.extend(piece);
            Ok::<(), Infallible>(())
        });
        (first, all)
    }

    /// The same for work on an item that looks at those behind it, too: `work` is given a piece of the list, and gives a result for each item.
    pub(crate) fn map_pieces<T: Sync, R: Send>(
        self,
        items: &[T],
        work: impl Fn(&[T]) -> Vec<R> + Sync,
    ) -> Vec<R> {
        let mut all = Vec::with_capacity(items.len());
        self.in_order(
            items,
            |_, piece| work(piece),
            |piece| {
                all.extend(piece);
            },
        );
        all
    }
}

/// Something that threads are at work at.
#[derive(Debug)]
struct AtWork(&'static AtomicUsize);

impl Clone for AtWork {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Threads beside the one that asks, which nobody else is given meanwhile.
#[derive(Debug)]
pub(crate) struct Others {
    threads: &'static ThreadPool,
    at_work: AtWork,
}

impl Others {
    /// So many that nobody else asks for.
    #[cfg(test)]
    pub(crate) fn apart(count: usize) -> Self {
        Box::leak(Box::new(Pool::new())).claim(count).unwrap()
    }

    /// How many, at least one.
    pub(crate) fn count(&self) -> usize {
        self.threads.current_num_threads()
    }

    /// Lets one of them work at something that may wait for who asks; until it is done they are given to nobody.
    pub(crate) fn begin<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Begun<R> {
        let (put, take) = sync_channel(1);
        let at_work = self.at_work.clone();
        self.threads.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            drop(at_work);
            // Nobody takes it where the run was given up.
            let _ = put.send(result);
        });
        Begun(take)
    }
}

/// Something that another thread works at.
#[derive(Debug)]
pub(crate) struct Begun<R>(Receiver<std::thread::Result<R>>);

impl<R> Begun<R> {
    /// What came of it, once it is done. A panic is passed on.
    pub(crate) fn end(self) -> R {
        let result = self.0.recv().unwrap_or_else(|gone| Err(Box::new(gone)));
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Pieces that wait for a thread, and what came of others and was not taken.
struct Table<R> {
    count: usize,
    /// Pieces that may be begun beyond those that were taken.
    ahead: usize,
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    /// The piece that is begun next.
    next: usize,
    /// The piece that is taken next.
    wanted: usize,
    done: BTreeMap<usize, R>,
    /// Threads that wait for a change. Telling of one is a call of the kernel's, though nobody waits.
    asleep: usize,
    /// No piece is begun any more.
    is_over: bool,
}

impl<R> Table<R> {
    const fn new(count: usize, ahead: usize) -> Self {
        let state = State { next: 0, wanted: 0, done: BTreeMap::new(), asleep: 0, is_over: false };
        Self { count, ahead, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        state.asleep = state.asleep.saturating_add(1);
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.asleep = state.asleep.saturating_sub(1);
        state
    }

    /// Tells those who wait of a change that was made.
    fn tell(&self, state: MutexGuard<'_, State<R>>) {
        let somebody_waits = state.asleep > 0;
        drop(state);
        if somebody_waits {
            self.changed.notify_all();
        }
    }

    /// The piece to be worked on next, where it may be begun.
    fn claim(&self, state: &mut State<R>) -> Option<usize> {
        let number = state.next;
        let may = !state.is_over && number < self.count && number.saturating_sub(state.wanted) < self.ahead;
        may.then(|| {
            state.next = number.saturating_add(1);
            number
        })
    }

    /// The next piece for another thread, once there is one; none when there will be no more.
    fn begin(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.is_over || state.next >= self.count {
                return None;
            }
            match self.claim(&mut state) {
                Some(number) => return Some(number),
                None => state = self.wait(state),
            }
        }
    }

    fn put(&self, number: usize, result: R) {
        let mut state = self.lock();
        state.done.insert(number, result);
        self.tell(state);
    }

    /// What came of a piece; until somebody else has done it, others are worked on here. None where a thread has panicked.
    fn get(&self, number: usize, work: impl Fn(usize) -> R) -> Option<R> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.done.remove(&number) {
                state.wanted = number.saturating_add(1);
                self.tell(state);
                return Some(result);
            }
            if state.is_over {
                return None;
            }
            state = if let Some(claimed) = self.claim(&mut state) {
                drop(state);
                let result = work(claimed);
                let mut state = self.lock();
                state.done.insert(claimed, result);
                state
            } else {
                self.wait(state)
            };
        }
    }
}

/// Lets nobody wait for a thread that is gone.
struct Leaving<'a, R> {
    table: &'a Table<R>,
    /// It is the one that takes.
    stops: bool,
}

impl<R> Drop for Leaving<'_, R> {
    fn drop(&mut self) {
        if self.stops || std::thread::panicking() {
            let mut state = self.table.lock();
            state.is_over = true;
            self.table.tell(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn results_come_in_the_order_of_the_items_for_any_number_of_threads_and_items() {
        for count in [0, 1, 2, 3, 8] {
            for length in [0, 1, 2, WORTH, WORTH + 1, 100, PIECE - 1, PIECE + 1, 50 * PIECE + 7] {
                let items: Vec<usize> = (0..length).collect();
                let doubled: Vec<usize> = (0..length).map(|item| item * 2).collect();
                assert_eq!(Threads::new(count).map(&items, |item| item * 2), doubled, "{count} threads");
                let (mut next, stop) = (0, length / 2);
                let begins = |offset, piece: &[usize]| (offset, piece.first().copied(), piece.len());
                let outcome = Threads::new(count).pieces(&items, begins, |(offset, first, length)| {
                    assert_eq!((offset, first), (next, Some(next)));
                    assert!((1..=PIECE).contains(&length));
                    next += length;
                    if next > stop { Err(next) } else { Ok(()) }
                });
                assert_eq!(outcome, if length > 0 { Err(next) } else { Ok(()) });
                assert!(next > stop || length == 0);
            }
        }
    }

    #[test]
    fn what_one_thread_alone_can_do_goes_on_beside_a_list() {
        for (count, length) in [(1, 0), (2, 1), (1, 500), (3, 500), (8, 50 * PIECE)] {
            let items: Vec<usize> = (0..length).collect();
            let (seen, came) = (Mutex::new(0), Condvar::new());
            let each = |item: &usize| {
                *seen.lock().unwrap() += 1;
                came.notify_all();
                item * 2
            };
            // With others, more than they may be ahead elsewhere is done before this thread has.
            let others = count > 1 && length > WORTH;
            let first = || {
                let seen = seen.lock().unwrap();
                let wait = Duration::from_secs(if others { 20 } else { 0 });
                *came.wait_timeout_while(seen, wait, |seen| *seen < length).unwrap().0
            };
            let (done, doubled) = Threads::new(count).map_beside(first, &items, each);
            assert_eq!(done, if others { length } else { 0 }, "{count} threads, {length} items");
            assert!(doubled.into_iter().eq(items.iter().map(|item| item * 2)));
        }
        let items = vec![0; 50 * PIECE];
        let stopped = catch_unwind(|| Threads::new(4).map_beside(|| panic!("here"), &items, |item| *item));
        assert!(stopped.is_err());
    }

    /// Other threads are not far ahead of what is taken, however slowly that is.
    #[test]
    fn what_is_not_taken_is_bounded() {
        let items = vec![0; 100 * PIECE];
        let (begun, mut taken) = (AtomicUsize::new(0), 0);
        let outcome = Threads::new(3).pieces(
            &items,
            |_, _| begun.fetch_add(1, Ordering::SeqCst),
            |_| {
                std::thread::yield_now();
                taken += 1;
                let ahead = begun.load(Ordering::SeqCst) - taken;
                if ahead <= 3 * AHEAD { Ok(()) } else { Err(ahead) }
            },
        );
        assert_eq!((outcome, taken), (Ok(()), 100));
    }

    #[test]
    fn a_panic_in_a_thread_or_of_who_takes_is_one_here() {
        let items: Vec<usize> = (0..50 * PIECE).collect();
        for bad in [3, 20 * PIECE, 50 * PIECE - 1] {
            let outcome = catch_unwind(|| {
                Threads::new(4).map(&items, |item| assert_ne!(*item, bad, "this item"));
            });
            assert!(outcome.is_err());
            let outcome = catch_unwind(|| {
                Threads::new(4).pieces(
                    &items,
                    |begin, _| begin,
                    |begin| {
                        assert!(begin < bad, "this piece");
                        Ok::<(), ()>(())
                    },
                )
            });
            assert!(outcome.is_err() || bad == 50 * PIECE - 1);
        }
    }

    /// Several threads are at work where there is enough to do.
    #[test]
    fn a_list_is_worked_on_by_others_too() {
        let (seen, came) = (Mutex::new(BTreeSet::new()), Condvar::new());
        let items = [0_u8; 2 * WORTH];
        Threads::new(10).map(&items, |_| {
            let mut seen = seen.lock().unwrap();
            seen.insert(format!("{:?}", std::thread::current().id()));
            came.notify_all();
            drop(came.wait_timeout_while(seen, Duration::from_secs(2), |seen| seen.len() < 2).unwrap());
        });
        assert!(seen.into_inner().unwrap().len() >= 2);
    }

    /// Whoever would wait for work that waits for him works alone.
    #[test]
    fn threads_are_given_to_nobody_else_while_they_are_at_work() {
        let (items, threads) = ((0..5 * PIECE).collect::<Vec<usize>>(), Threads::new(11));
        let within = threads.map(&items, |item| {
            assert!(threads.others().is_none());
            threads.map(&items, |other| item + other).into_iter().max()
        });
        assert!(within.into_iter().eq(items.iter().map(|item| Some(item + items.len() - 1))));
        let (go, wait) = sync_channel::<()>(0);
        let begun = threads.others().unwrap().begin(move || wait.recv().is_ok());
        assert!(threads.others().is_none());
        assert_eq!(threads.map(&items, |item| item + 1).last(), Some(&items.len()));
        go.send(()).unwrap();
        assert!(begun.end());
        assert!(threads.others().is_some());
    }

    #[test]
    fn a_panic_of_work_that_was_begun_is_passed_on() {
        let begun = Others::apart(1).begin::<()>(|| panic!("as a fault of a parser would"));
        assert!(catch_unwind(AssertUnwindSafe(|| begun.end())).is_err());
    }
}
