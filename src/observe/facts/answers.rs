//! The quickest answers of a flow's ends: light takes at least that long to the answering end and back.

use crate::flow::Direction;
use crate::observe::PacketRef;
use crate::time::Timestamp;

/// An exchange in which the second packet cannot have been made without the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exchange {
    /// SYN and the SYN-ACK that acknowledges it, or that and the ACK (RFC 9293 section 3.5): the initial sequence number is a
    /// secret until then (RFC 6528).
    TcpHandshake,
    /// A STUN request and the response with its transaction id of 96 random bits (RFC 8489 section 5).
    Stun,
    /// QUIC's first Initial packet and the first that answers its connection id (RFC 9001 section 5.2).
    QuicInitial,
}

/// An answer, as it was seen at the capture point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// From question to answer, in nanoseconds; never 0.
    pub nanos: u64,
    /// The question.
    pub asked: PacketRef,
    /// Time of the question.
    pub asked_at: Timestamp,
    /// The answer.
    pub answered: PacketRef,
    /// What was exchanged.
    pub exchange: Exchange,
}

/// The quickest answers of one end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quickest {
    /// The quickest.
    pub first: Option<Answered>,
    /// The one after that: a clock that was set between two packets spoils one answer, hardly two.
    pub second: Option<Answered>,
}

impl Quickest {
    /// Takes an answer.
    pub fn add(&mut self, answer: Answered) {
        let key = |answer: &Answered| (answer.nanos, answer.answered);
        if self.first.is_none_or(|held| key(&answer) < key(&held)) {
            self.second = self.first.replace(answer);
        } else if self.second.is_none_or(|held| key(&answer) < key(&held)) {
            self.second = Some(answer);
        }
    }

    /// Takes those of another flow.
    pub fn join(&mut self, other: &Self) {
        for answer in other.first.iter().chain(&other.second) {
            self.add(*answer);
        }
    }
}

/// The quickest answers of both ends of a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Of the responder, to questions of the originator.
    pub responder: Quickest,
    /// Of the originator.
    pub originator: Quickest,
}

impl Answers {
    /// Takes the answer to a question that went in direction `asked`. A time of zero or less is none: the clock of the capture is
    /// too coarse, or was set; and two files, and two interfaces of one, have two clocks.
    pub(in crate::observe) fn add(
        &mut self,
        asked: Direction,
        question: (PacketRef, Timestamp),
        answer: (PacketRef, Timestamp),
        exchange: Exchange,
    ) {
        let nanos = u64::try_from(answer.1.since(question.1).as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 || !question.0.shares_clock(answer.0) {
            return;
        }
        let end = match asked {
            Direction::Forward => &mut self.responder,
            Direction::Reverse => &mut self.originator,
        };
        end.add(Answered { nanos, asked: question.0, asked_at: question.1, answered: answer.0, exchange });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_nanos(micros * 1_000)
    }

    #[test]
    fn the_two_quickest_are_kept_and_what_no_clock_measured_is_not() {
        let mut answers = Answers::default();
        let times = [(5_000, 9_000), (20_000, 22_000), (30_000, 30_000), (40_000, 39_000), (50_000, 53_000)];
        for (number, (asked, answered)) in (1_u64..).zip(times) {
            let (question, answer) = (PacketRef::new(0, number * 2), PacketRef::new(0, number * 2 + 1));
            let (question, answer) = ((question, at(asked)), (answer, at(answered)));
            answers.add(Direction::Forward, question, answer, Exchange::Stun);
        }
        let other_file = (PacketRef::new(1, 1), at(60_001));
        answers.add(Direction::Forward, (PacketRef::new(0, 20), at(60_000)), other_file, Exchange::Stun);
        let [first, second] = [answers.responder.first.unwrap(), answers.responder.second.unwrap()];
        assert_eq!((first.nanos, first.asked.frame(), first.answered.frame()), (2_000_000, 4, 5));
        assert_eq!((second.nanos, second.asked.frame()), (3_000_000, 10));
        assert_eq!(answers.originator, Quickest::default());
    }
}
