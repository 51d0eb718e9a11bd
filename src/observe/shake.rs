//! How long the two ends of a TCP connection took to answer in its handshake, seen from between them.
//!
//! Measured is only a handshake of which each packet was seen once: of a SYN that was sent again nobody knows which one was answered,
//! and of one that was seen at two taps the times are those of two places.

use super::PacketRef;
use super::facts::{Answers, Exchange};
use super::stream::Segment;
use crate::flow::Direction;
use crate::time::Timestamp;

/// A packet that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Asked {
    direction: Direction,
    /// The acknowledgment number that answers it.
    next: u32,
    packet: PacketRef,
    at: Timestamp,
}

/// A handshake in the making. RFC 9293 section 3.5.
#[derive(Debug, Default)]
pub(super) struct Shake {
    syn: Option<Asked>,
    reply: Option<Asked>,
    is_over: bool,
}

impl Shake {
    /// Takes a segment; the answers, once the handshake was seen in full.
    pub(super) fn segment(&mut self, segment: &Segment<'_>) -> Option<Answers> {
        if self.is_over {
            return None;
        }
        let asked = Asked {
            direction: segment.direction,
            next: segment.sequence.wrapping_add(1),
            packet: segment.packet,
            at: segment.timestamp,
        };
        match (segment.syn, segment.acknowledgment, self.syn, self.reply) {
            (true, None, None, None) => self.syn = Some(asked),
            (true, Some(acknowledged), Some(syn), None)
                if syn.direction != segment.direction && acknowledged == syn.next =>
            {
                self.reply = Some(asked);
            }
            (false, Some(acknowledged), Some(syn), Some(reply)) if syn.direction == segment.direction => {
                self.is_over = true;
                let mut answers = Answers::default();
                let question = (syn.packet, syn.at);
                answers.add(syn.direction, question, (reply.packet, reply.at), Exchange::TcpHandshake);
                if acknowledged == reply.next {
                    let answer = (segment.packet, segment.timestamp);
                    answers.add(reply.direction, (reply.packet, reply.at), answer, Exchange::TcpHandshake);
                }
                return Some(answers);
            }
            _ => self.is_over = true,
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::facts::Sampling;

    /// Direction, SYN, sequence number, acknowledgment number, time in microseconds.
    type Sent = (Direction, bool, u32, Option<u32>, i64);

    fn play(sent: &[Sent]) -> Option<Answers> {
        let mut shake = Shake::default();
        let mut seen = None;
        for (number, (direction, syn, sequence, acknowledgment, micros)) in (1_u64..).zip(sent) {
            let segment = Segment {
                sequence: *sequence,
                acknowledgment: *acknowledgment,
                syn: *syn,
                payload: &[],
                declared_len: 0,
                ports: [50_000, 443],
                direction: *direction,
                number,
                packet: PacketRef::new(0, number),
                timestamp: Timestamp::from_nanos(micros * 1_000),
                key_log: None,
                sampling: Sampling::default(),
            };
            let answers = shake.segment(&segment);
            seen = seen.or(answers);
        }
        seen
    }

    const SYN: Sent = (Direction::Forward, true, u32::MAX, None, 0);
    const REPLY: Sent = (Direction::Reverse, true, 7, Some(0), 2_000);
    const ACK: Sent = (Direction::Forward, false, 0, Some(8), 2_300);

    #[test]
    fn both_halves_are_measured_from_the_handshake() {
        let answers = play(&[SYN, REPLY, ACK]).unwrap();
        let responder = answers.responder.first.unwrap();
        assert_eq!((responder.nanos, responder.asked.frame(), responder.answered.frame()), (2_000_000, 1, 2));
        assert_eq!(answers.originator.first.unwrap().nanos, 300_000);
    }

    #[test]
    fn what_was_sent_or_seen_twice_or_answers_something_else_measures_nothing() {
        let later = |(direction, syn, sequence, acknowledgment, at): Sent, by| {
            (direction, syn, sequence, acknowledgment, at + by)
        };
        assert_eq!(play(&[SYN, later(SYN, 1_000), REPLY, ACK]), None, "which SYN was answered?");
        assert_eq!(play(&[SYN, REPLY, later(REPLY, 40_000), later(ACK, 50_000)]), None, "two taps");
        assert_eq!(play(&[SYN, (Direction::Reverse, true, 7, Some(5), 2_000), ACK]), None);
        assert_eq!(play(&[SYN, (Direction::Forward, true, 7, Some(0), 2_000), ACK]), None);
        assert_eq!(play(&[REPLY, ACK]), None, "begun before the capture");
        let lost = play(&[SYN, REPLY, (Direction::Forward, false, 0, Some(900), 9_000)]).unwrap();
        assert!(lost.responder.first.is_some() && lost.originator.first.is_none());
    }
}
