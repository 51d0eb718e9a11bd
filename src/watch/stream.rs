//! A run over captures in one pass: as a run on interfaces judges, of packet time alone. In: a [`Pipeline`] of a single thread, and the
//! time of each packet before it is taken. Out: analyses of what is over, while packets come.
//!
//! No clock is read, and nothing depends on one: the same packets are looked at behind the same packets. What memory is left is asked
//! of the system, so that a run that is short of it lets go other flows than the next.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::holding::Holding;
use super::memory::{self, Budget, Keeper};
use crate::classify::Rules;
use crate::keys::Analysis;
use crate::observe::Summary;
use crate::pipeline::{Alive, Living, Memory, Pipeline, Unwritten};
use crate::report::Written;
use crate::report::record::StreamRecord;
use crate::time::{Doubt, Timestamp};

/// Packet time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Packet time between two looks from which on many flows may have gone idle at once.
const PAUSE: Duration = Duration::from_secs(5);
/// Packets between two looks at most: in a flood, as many flows end.
const PACKETS: u32 = 1 << 16;
/// Packets between two looks for no other reason than that time ran backwards, at least: of two clocks that stamp in turn, each packet may be
/// behind the one before.
const BEHIND: u32 = 256;
/// Asking who is alive means looking at all flows. It is done when so many packets have come for each of so many flows ..
const PACKETS_PER_FLOWS: (u64, u64) = (1, 4);
/// .. and in any case after this much packet time.
const ASK: Duration = Duration::from_secs(15);

/// When a look is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Packet time of the last look.
    looked: Option<Timestamp>,
    /// Packets since then.
    packets: u32,
    /// Of the stamps of packets.
    doubt: Doubt,
    /// Packets to come before time that runs backwards is looked at again.
    behind: u32,
    /// When it was last asked who is alive.
    asked: Option<Timestamp>,
    /// Packets since then.
    unasked: u64,
}

impl Pace {
    /// Counts a packet that is about to be taken, and tells by what time a look is due before it. Time may run backwards; one packet of a time far
    /// ahead makes no look, and does not tell its time.
    #[inline]
    pub fn due(&mut self, time: Timestamp) -> Option<Timestamp> {
        let (now, is_due) = self.count(time);
        is_due.then_some(now)
    }

    /// Counts a packet, and tells what time it is and whether a look is due.
    #[inline]
    fn count(&mut self, time: Timestamp) -> (Timestamp, bool) {
        let looked = *self.looked.get_or_insert(time);
        self.packets = self.packets.saturating_add(1);
        self.behind = self.behind.saturating_sub(1);
        let now = self.doubt.resolve(looked, time);
        let is_behind = looked.since(now) >= LOOK && self.behind == 0;
        (now, now.since(looked) >= LOOK || is_behind || self.packets > PACKETS)
    }

    /// Notes that there was a look.
    pub fn looked(&mut self, now: Timestamp) {
        if self.looked.is_some_and(|before| before.since(now) >= LOOK) {
            self.behind = BEHIND;
        }
        self.unasked = self.unasked.saturating_add(u64::from(self.packets));
        self.looked = Some(now);
        self.packets = 0;
    }

    /// Whether it is time to look at all of `flows` flows.
    fn asks(&mut self, now: Timestamp, flows: usize) -> bool {
        let asked = *self.asked.get_or_insert(now);
        let (packets, of) = PACKETS_PER_FLOWS;
        let flows = u64::try_from(flows).unwrap_or(u64::MAX);
        let is_worth_it = self.unasked.saturating_mul(of) >= flows.saturating_mul(packets);
        // Of a clock that goes back and forth only what is new counts: each time all flows are looked at.
        if is_worth_it || now.since(asked) >= ASK {
            self.asked = Some(asked.max(now));
            self.unasked = 0;
            return true;
        }
        false
    }
}

/// Judges captures while they are read.
#[derive(Debug)]
pub struct Stream<'a> {
    rules: &'a Rules,
    holding: Holding,
    keeper: Keeper,
    /// Flows that may be alive, as was told last.
    most_flows: usize,
    /// When the next look is due.
    pub pace: Pace,
    /// Bytes of packets since memory was looked at.
    bytes: u64,
    /// Little is left: what has ended is to be judged now.
    is_short: bool,
    /// Endpoints that had to go before this run went on.
    released_before: u64,
    /// Flows that were not found again when it did.
    pub flows_lost: u64,
}

/// Takes what is over, part by part, and says whether to go on.
pub type Each<'e> = &'e mut dyn FnMut(Analysis) -> ControlFlow<()>;

fn going_on(each: &mut dyn FnMut(Analysis)) -> impl FnMut(Analysis) -> ControlFlow<()> {
    move |analysis| {
        each(analysis);
        ControlFlow::Continue(())
    }
}

/// What a run that goes on later must know of what was judged, to be written down.
#[derive(Debug, Serialize)]
pub struct KeptStream<'s> {
    memory: &'s Memory,
    written: Written,
    pace: Pace,
    released_early: u64,
    flows_lost: u64,
}

/// The same as it was read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    memory: Memory,
    written: Written,
    pace: Pace,
    released_early: u64,
    flows_lost: u64,
}

impl<'a> Stream<'a> {
    /// A run that has seen nothing, within a budget of memory. The pipeline is to hold at most [`Budget::flows`].
    pub fn new(rules: &'a Rules, budget: Budget) -> Self {
        let mut holding = Holding::default();
        holding.within(budget);
        Self {
            rules,
            holding,
            keeper: Keeper::new(budget),
            most_flows: budget.flows(),
            pace: Pace::default(),
            bytes: 0,
            is_short: false,
            released_before: 0,
            flows_lost: 0,
        }
    }

    /// Judges flows and says which are together, and no more: sessions and meetings are not asked for.
    pub const fn flows_alone(&mut self) {
        self.holding.flows_alone = true;
    }

    /// Counts a packet of so many bytes that is about to be taken, and tells by what time a look is due before it, as [`Pace::due`] does.
    #[inline]
    pub fn due(&mut self, pipeline: &mut Pipeline, time: Timestamp, bytes: usize) -> Option<Timestamp> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.bytes >= self.keeper.budget().step(1) {
            self.bytes = 0;
            let used = memory::used();
            self.is_short = used.is_some_and(|used| self.keeper.budget().is_short(used));
            if self.keeper.is_outgrown(used) {
                self.limit(pipeline, used);
            }
        }
        let (now, is_due) = self.pace.count(time);
        (is_due || self.is_short).then_some(now)
    }

    /// Looks at what has ended by packet time `now`, and hands what is over to `each`, in parts.
    pub fn look(&mut self, pipeline: &mut Pipeline, now: Timestamp, each: &mut dyn FnMut(Analysis)) {
        if self.pace.looked.is_some_and(|before| now.since(before) >= PAUSE) {
            let _ = self.end_in_portions(pipeline, Some(now), &mut going_on(each));
        }
        self.pace.looked(now);
        self.limit(pipeline, memory::used());
        (self.bytes, self.is_short) = (0, false);
        let mut ended = pipeline.take_ended(now);
        ended.sort_by_key(|flow| flow.id);
        self.holding.take(ended);
        let (_, alive) = pipeline.table_stats();
        let answer = self.pace.asks(now, alive.saturating_add(self.holding.held.len())).then(|| {
            let mut answer = Alive::asking(Arc::new(self.holding.held.asked(now)));
            pipeline.look_who_is_alive(&mut answer);
            answer
        });
        let over = self.holding.release(now, answer.as_ref());
        let _ = self.judge(over, &mut going_on(each));
    }

    /// Holds fewer flows when memory is short, and more again when it is there.
    fn limit(&mut self, pipeline: &mut Pipeline, used: Option<u64>) {
        let (_, alive) = pipeline.table_stats();
        let most = self.keeper.look(used, alive);
        if most != self.most_flows {
            self.most_flows = most;
            pipeline.limit_flows(most);
        }
        self.holding.held.limit(self.keeper.scaled(self.keeper.budget().held()));
    }

    fn judge(&mut self, over: Vec<Summary>, each: Each<'_>) -> ControlFlow<()> {
        self.holding.memory.meetings.until(self.pace.looked);
        Holding::parts(over, Some(&self.keeper))
            .into_iter()
            .try_for_each(|part| each(self.holding.judge(self.rules, part)))
    }

    /// Takes what has ended since the last look, so that [`unwritten`](Self::unwritten) and [`kept`](Self::kept) say all.
    pub fn collect(&mut self, pipeline: &mut Pipeline) {
        if let Some(looked) = self.pace.looked {
            let mut ended = pipeline.take_ended(looked);
            ended.sort_by_key(|flow| flow.id);
            self.holding.take(ended);
        }
    }

    /// The captures are at their end: where there is no room for all flows to end at once, some do and are judged. What is left is for the
    /// pipeline to [finish](Pipeline::finish). Where `each` breaks off, nothing more is judged.
    pub fn wind_down(&mut self, pipeline: &mut Pipeline, each: Each<'_>) -> ControlFlow<()> {
        self.end_in_portions(pipeline, None, each)
    }

    /// Where there is no room for all flows to end at once that are idle `by` a time, or for all that are alive, ends those of some endpoints and
    /// judges them, and then those of others; the last are left.
    fn end_in_portions(
        &mut self,
        pipeline: &mut Pipeline,
        by: Option<Timestamp>,
        each: Each<'_>,
    ) -> ControlFlow<()> {
        let mut living: Option<Vec<Living>> = None;
        loop {
            let (_, alive) = pipeline.table_stats();
            let flows = alive.saturating_add(self.holding.held.len());
            let Some(most) = self.keeper.portion(memory::used(), flows) else {
                return ControlFlow::Continue(());
            };
            let left = living.get_or_insert_with(|| {
                self.collect(pipeline);
                pipeline.living(by)
            });
            if left.len() <= most {
                return ControlFlow::Continue(());
            }
            let portion = left.split_off(Living::last(left, most));
            let over = self.holding.with_held(pipeline.end(&portion, by.is_some()));
            self.judge(over, each)?;
        }
    }

    /// Judges all that is left, with the flows that the end of the captures ended. Where `each` breaks off, nothing more is judged.
    pub fn finish(&mut self, last: Vec<Summary>, each: Each<'_>) -> ControlFlow<()> {
        self.holding.learn(&last);
        self.released_before = self.released_early();
        let flows = self.holding.release_all(last);
        self.judge(flows, each)
    }

    /// What was judged so far.
    pub const fn written(&self) -> Written {
        self.holding.written
    }

    /// What was let go.
    pub const fn record(&self) -> StreamRecord {
        StreamRecord { endpoints_released_early: self.released_early(), flows_lost: self.flows_lost }
    }

    const fn released_early(&self) -> u64 {
        self.released_before.saturating_add(self.holding.held.released_early())
    }

    /// Flows that were not judged. To be asked behind a look, or what [`collect`](Self::collect) takes.
    pub fn unwritten(&self, pipeline: &Pipeline) -> Unwritten {
        pipeline.unwritten(&self.holding.held)
    }

    /// What has to be known to go on.
    pub const fn kept(&self) -> KeptStream<'_> {
        KeptStream {
            memory: &self.holding.memory,
            written: self.holding.written,
            pace: self.pace,
            released_early: self.released_early(),
            flows_lost: self.flows_lost,
        }
    }

    /// Goes on as an earlier run was, which held these flows. Of `lost` more nothing was found.
    pub fn restore(&mut self, kept: Kept, held: Vec<Summary>, lost: u64) {
        let Kept { memory, written, pace, released_early, flows_lost } = kept;
        self.holding.memory = memory;
        self.holding.within(self.keeper.budget());
        self.holding.written = written;
        self.holding.held.push(held);
        self.pace = pace;
        self.released_before = released_early;
        self.flows_lost = flows_lost.saturating_add(lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FiveTuple;
    use crate::observe::Outline;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs_nanos(second, 0)
    }

    /// Which packets of these seconds a look is due before, and by what time.
    fn looks(pace: &mut Pace, seconds: impl IntoIterator<Item = i64>) -> Vec<(usize, i64)> {
        let mut looks = Vec::new();
        for (packet, second) in seconds.into_iter().enumerate() {
            if let Some(now) = pace.due(at(second)) {
                pace.looked(now);
                looks.push((packet, now.as_nanos() / 1_000_000_000));
            }
        }
        looks
    }

    #[test]
    fn a_stamp_far_ahead_is_the_time_of_no_look() {
        let of = |seconds: &[i64]| looks(&mut Pace::default(), seconds.iter().copied());
        assert_eq!(of(&[0, 1, 400_000_000, 2, 2]), [(1, 1), (3, 2)]);
        assert_eq!(of(&[0, 9000, 9000, 9001]), [(2, 9000), (3, 9001)]);
        assert_eq!(of(&[9000, 0, 0, 1]), [(1, 0), (3, 1)], "back is looked at as it comes");
        let mut pace = Pace::default();
        let flood = std::iter::repeat_n(0, 1 << 16).chain([400_000_000]);
        assert_eq!(looks(&mut pace, flood), [(1 << 16, 0)], "nor where a look is due anyhow");
    }

    #[test]
    fn two_clocks_in_turn_are_looked_at_seldom() {
        let made = looks(&mut Pace::default(), (0..2560).map(|packet| packet % 2 * 2));
        assert!((20..=24).contains(&made.len()), "{made:?}");
    }

    #[test]
    fn who_breaks_off_gets_no_more_parts() {
        let rules = crate::classify::embedded().unwrap();
        let flow = |id: u64| {
            let endpoint = if id.is_multiple_of(2) { "10.0.0.1:5000" } else { "10.0.0.2:5000" };
            let (source, destination) = (endpoint.parse().unwrap(), "198.51.100.1:443".parse().unwrap());
            Summary::from(Outline::plain(id, FiveTuple { source, destination, protocol: 17 }))
        };
        // As many of each of two endpoints as are judged together.
        let flows = || (0..2 << 12).map(flow).collect::<Vec<_>>();
        for (goes_on, expected) in [(ControlFlow::Continue(()), 2), (ControlFlow::Break(()), 1)] {
            let mut parts = 0;
            let mut each = |_| {
                parts += 1;
                goes_on
            };
            let mut stream = Stream::new(&rules, Budget::new(None));
            assert_eq!(stream.finish(flows(), &mut each), goes_on);
            assert_eq!(parts, expected);
        }
    }
}
