//! The thread of a destination: takes batches from the queue, hands them over, tries again where that failed, and says once
//! what is wrong and once that it is over.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock;
use super::queue::{Batch, Queue, Work};

/// How often an idle destination is looked after.
const IDLE: Duration = Duration::from_secs(1);
/// First wait before something is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A destination that takes nothing for so long is called slow.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// A destination that takes records, but fewer than come, is told of as often.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Where messages for people go.
pub type Voice = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a destination could not take more.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: String,
    /// Trying again is of no use.
    pub(super) is_final: bool,
}

impl Fault {
    pub(super) fn new(error: &impl ToString) -> Self {
        Self { error: error.to_string(), is_final: false }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::new(&error)
    }
}

/// Something that takes records.
pub(super) trait Destination: Send + 'static {
    /// Hands over what it can of a batch, and notes in its tally what became of each record. May return with a part of it
    /// left, after a short wait, where the other side is slow.
    fn hand_over(&mut self, batch: &mut Batch) -> Result<(), Fault>;

    /// Called about once a second while there is nothing to hand over.
    fn look_after(&mut self, batch: &mut Batch) -> Result<(), Fault>;

    /// Closes; the next record opens again.
    fn reopen(&mut self) -> Result<(), Fault>;

    /// The end: all that was handed over is let go of. A peer has so long to show that it has read it.
    fn close(&mut self, batch: &mut Batch, patience: Duration);

    /// True while it takes records after a failure, and that shows nothing: nobody confirms them.
    fn is_on_trial(&mut self) -> bool {
        false
    }

    /// How often it was connected to, since the last time that this was asked.
    fn connected(&mut self) -> u64 {
        0
    }
}

/// Waits that double, up to a cap; each is between half and all of its length, so that many that lost one peer do not come back
/// at once.
#[derive(Debug)]
struct Backoff {
    next: Duration,
    chance: u64,
}

impl Backoff {
    fn new() -> Self {
        // The keys of the standard library's hash tables are random.
        Self { next: FIRST_PAUSE, chance: RandomState::new().build_hasher().finish() }
    }

    fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(LONGEST_PAUSE);
        // One step of a linear congruential generator (Knuth, MMIX).
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let half = whole.checked_div(2).unwrap_or_default();
        let parts = u32::try_from(self.chance >> 40).unwrap_or_default();
        half.saturating_add(half.saturating_mul(parts).checked_div(1 << 24).unwrap_or_default())
    }

    fn begin_anew(&mut self) {
        self.next = FIRST_PAUSE;
    }
}

/// What people were told of a destination.
struct Mood {
    voice: Voice,
    /// What is wrong, as it was told.
    fault: Option<String>,
    /// Records lost when that was last told.
    lost: u64,
    /// When the destination last took something.
    moved: Instant,
    was_connected: bool,
    /// Records lost for want of room when that was last told, and when it was.
    crowded_out: u64,
    told: Option<Instant>,
}

impl Mood {
    fn new(voice: Voice) -> Self {
        let moved = clock::instant();
        Self { voice, fault: None, lost: 0, moved, was_connected: false, crowded_out: 0, told: None }
    }

    fn say(&self, queue: &Queue, text: &str) {
        (self.voice)(&format!("{}: {text}", queue.name));
    }

    fn failed(&mut self, queue: &Queue, error: &str) {
        queue.set_error(Some(error.to_owned()));
        if self.fault.as_deref() != Some(error) {
            self.say(queue, error);
            self.fault = Some(error.to_owned());
        }
    }

    fn works(&mut self, queue: &Queue) {
        self.moved = clock::instant();
        if self.fault.take().is_some() {
            queue.set_error(None);
            let lost = queue.record().lost;
            let gone = lost.saturating_sub(self.lost);
            self.lost = lost;
            self.crowded_out = queue.crowded_out();
            self.say(queue, &format!("takes records again; {gone} were lost"));
        } else {
            self.keeps_up(queue);
        }
    }

    /// Says where it does not.
    fn keeps_up(&mut self, queue: &Queue) {
        let crowded_out = queue.crowded_out();
        let gone = crowded_out.saturating_sub(self.crowded_out);
        let was_just_told = |told| self.moved.saturating_duration_since(told) < TOLD_AGAIN;
        if gone > 0 && !self.told.is_some_and(was_just_told) {
            self.crowded_out = crowded_out;
            self.told = Some(self.moved);
            self.say(queue, &format!("takes fewer records than come; {gone} were lost"));
        }
    }

    /// A slow destination is told of once it costs records, or has stood still for a while.
    fn still(&mut self, queue: &Queue) {
        if clock::instant().saturating_duration_since(self.moved) >= SLOW_AFTER {
            self.failed(queue, "takes nothing at present");
        }
    }
}

/// Runs until the queue is asked to finish, or the destination is gone for good.
pub(super) fn run(queue: &Queue, destination: &mut dyn Destination, voice: Voice) {
    let mut mood = Mood::new(voice);
    let mut backoff = Backoff::new();
    let mut batch = Batch::default();
    loop {
        let work = queue.next(&mut batch, IDLE);
        let before = batch.tally.written;
        let outcome = match work {
            Work::Records => destination.hand_over(&mut batch),
            Work::Idle => destination.look_after(&mut batch),
            Work::Reopen => destination.reopen(),
            Work::Finish => break,
        };
        for _ in 0..destination.connected() {
            if mood.was_connected {
                queue.reconnected();
            }
            mood.was_connected = true;
        }
        match outcome {
            Ok(()) if work == Work::Records && batch.tally.written == before && !batch.is_empty() => {
                mood.still(queue);
            }
            Ok(()) if work == Work::Records && !destination.is_on_trial() => {
                mood.works(queue);
                backoff.begin_anew();
            }
            Ok(()) => mood.moved = clock::instant(),
            Err(fault) => {
                mood.failed(queue, &fault.error);
                if fault.is_final {
                    break;
                }
                queue.pause(backoff.pause());
            }
        }
        if queue.is_too_late() {
            break;
        }
    }
    destination.close(&mut batch, queue.farewell());
    queue.close(std::mem::take(&mut batch.tally));
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::queue::Worth;
    use super::*;

    /// Takes a record at a time.
    struct Slow;

    impl Destination for Slow {
        fn hand_over(&mut self, batch: &mut Batch) -> Result<(), Fault> {
            std::thread::sleep(Duration::from_millis(1));
            batch.taken();
            Ok(())
        }

        fn look_after(&mut self, _: &mut Batch) -> Result<(), Fault> {
            Ok(())
        }

        fn reopen(&mut self) -> Result<(), Fault> {
            Ok(())
        }

        fn close(&mut self, _: &mut Batch, _: Duration) {}
    }

    #[test]
    fn a_destination_that_takes_fewer_records_than_come_is_told_of_once_a_minute() {
        let queue = Arc::new(Queue::new("x".to_owned(), 1000));
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let voice: Voice = Arc::new(move |text| heard.lock().unwrap().push(text.to_owned()));
        let at_work = Arc::clone(&queue);
        let thread = std::thread::spawn(move || run(&at_work, &mut Slow, voice));
        for _ in 0..5 {
            for _ in 0..100 {
                queue.push(Worth::Passing, Arc::from(*b"record\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let end = clock::instant() + Duration::from_secs(10);
        queue.finish(end);
        thread.join().unwrap();
        assert!(queue.record().lost > 300, "{:?}", queue.record());
        let said = said.lock().unwrap();
        assert!(said.len() == 1 && said[0].starts_with("x: takes fewer records than come; "), "{said:?}");
    }

    #[test]
    fn waits_double_up_to_a_cap_and_vary() {
        let mut backoff = Backoff::new();
        let mut whole = FIRST_PAUSE;
        for _ in 0..20 {
            let pause = backoff.pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST_PAUSE);
        }
        let many: std::collections::BTreeSet<Duration> = (0..8).map(|_| backoff.pause()).collect();
        assert!(many.len() > 4, "{many:?}");
    }
}
