//! A TCP conversation from a list of turns: handshake, segments, acknowledgements and closing, as a tap
//! next to the client would see them. Nothing is lost on TCP here.

use std::net::SocketAddrV4;

use crate::net::{MS, Tap, US, Wire};
use crate::rng::Rng;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// Bytes that one side sends, `think` nanoseconds after it could have.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) from: Side,
    pub(crate) bytes: Vec<u8>,
    pub(crate) think: u64,
}

/// The path of a conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) tap: Tap,
    pub(crate) client: SocketAddrV4,
    pub(crate) server: SocketAddrV4,
    /// Tap to server and back.
    pub(crate) rtt: u64,
}

/// Tap to client and back.
const LAN_RTT: u64 = 180 * US;
/// 1460 less the twelve bytes of the timestamp option.
const SEGMENT: usize = 1448;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

struct Connection<'a> {
    wire: &'a mut Wire,
    path: Path,
    rng: Rng,
    /// Next sequence number of client and server.
    next: [u32; 2],
    /// Offset of each side's timestamp clock, and the last value that it sent.
    clock: [u32; 2],
    last_stamp: [u32; 2],
    last_at: [u64; 2],
    /// Segments that each side may send in one round trip.
    window: [usize; 2],
}

/// Plays the turns from `start` and returns the time of the last packet.
pub(crate) fn play(wire: &mut Wire, path: Path, start: u64, turns: &[Turn]) -> u64 {
    let mut rng = Rng::named(&format!("tcp {} {} {start}", path.client, path.server));
    let mut connection = Connection {
        next: [rng.u32(), rng.u32()],
        clock: [rng.u32(), rng.u32()],
        last_stamp: [0, 0],
        last_at: [0, 0],
        window: [10, 10],
        wire,
        path,
        rng,
    };
    connection.run(start, turns)
}

impl Connection<'_> {
    fn run(&mut self, start: u64, turns: &[Turn]) -> u64 {
        self.emit(Side::Client, start, SYN, &[]);
        let answered = start + self.reply_delay(Side::Server);
        self.emit(Side::Server, answered, SYN | ACK, &[]);
        let mut now = answered + self.reply_delay(Side::Client);
        self.emit(Side::Client, now, ACK, &[]);

        let mut speaker = Side::Client;
        for (position, turn) in turns.iter().enumerate() {
            if turn.from != speaker {
                now += self.reply_delay(turn.from);
            }
            speaker = turn.from;
            let next = turns.get(position + 1);
            let piggyback = next.is_some_and(|next| next.from != turn.from && next.think < 40 * MS);
            now = self.send(turn, now + turn.think, piggyback);
        }
        self.close(now)
    }

    /// Sends one turn in segments and rounds; returns the time of its last segment.
    fn send(&mut self, turn: &Turn, start: u64, piggyback: bool) -> u64 {
        let side = turn.from.index();
        let segments: Vec<&[u8]> = turn.bytes.chunks(SEGMENT).collect();
        let (mut at, mut in_round) = (start, 0);
        for (position, segment) in segments.iter().enumerate() {
            if in_round == self.window[side] {
                at += self.path.rtt;
                in_round = 0;
                // Kept under the advertised 64 128 bytes.
                self.window[side] = (self.window[side] * 2).min(40);
            }
            let last = position + 1 == segments.len();
            let flags = if last { ACK | PSH } else { ACK };
            self.emit(turn.from, at, flags, segment);
            in_round += 1;
            let due = if last { !piggyback } else { position % 2 == 1 };
            if due {
                let delay = self.reply_delay(turn.from.other());
                self.emit(turn.from.other(), at + delay, ACK, &[]);
            }
            if !last {
                at += 121 * US + self.rng.below(30 * US);
            }
        }
        at
    }

    fn close(&mut self, now: u64) -> u64 {
        let mut at = now.max(self.last_at[0]).max(self.last_at[1]) + 2 * MS;
        self.emit(Side::Client, at, FIN | ACK, &[]);
        at += self.reply_delay(Side::Server);
        self.emit(Side::Server, at, FIN | ACK, &[]);
        at += self.reply_delay(Side::Client);
        self.emit(Side::Client, at, ACK, &[]);
        at
    }

    fn reply_delay(&mut self, from: Side) -> u64 {
        match from {
            Side::Client => LAN_RTT + self.rng.below(40 * US),
            Side::Server => self.path.rtt + self.rng.jitter_ns(300 * US),
        }
    }

    fn emit(&mut self, from: Side, at: u64, flags: u8, payload: &[u8]) {
        let (me, peer) = (from.index(), from.other().index());
        let at = at.max(self.last_at[me] + US);
        self.last_at[me] = at;
        let stamp = self.clock[me].wrapping_add((at / MS) as u32);
        self.last_stamp[me] = stamp;

        let (src, dst) = match from {
            Side::Client => (self.path.client, self.path.server),
            Side::Server => (self.path.server, self.path.client),
        };
        let acknowledged = if flags & ACK == 0 { 0 } else { self.next[peer] };
        let options = options(flags, stamp, if flags & ACK == 0 { 0 } else { self.last_stamp[peer] });

        let mut segment = Vec::with_capacity(60 + payload.len());
        segment.extend(src.port().to_be_bytes());
        segment.extend(dst.port().to_be_bytes());
        segment.extend(self.next[me].to_be_bytes());
        segment.extend(acknowledged.to_be_bytes());
        segment.push(u8::try_from((20 + options.len()) / 4).unwrap() << 4);
        segment.push(flags);
        let window: u16 = if flags & SYN == 0 { 501 } else { 64240 };
        segment.extend(window.to_be_bytes());
        segment.extend([0; 4]); // checksum and urgent pointer
        segment.extend(options);
        segment.extend(payload);
        self.wire.tcp(self.path.tap, at, *src.ip(), *dst.ip(), segment);

        let taken = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[me] = self.next[me].wrapping_add(taken);
    }
}

fn options(flags: u8, stamp: u32, echo: u32) -> Vec<u8> {
    let mut out = if flags & SYN == 0 {
        vec![1, 1, 8, 10]
    } else {
        vec![2, 4, 0x05, 0xb4, 4, 2, 8, 10] // MSS 1460, SACK permitted, timestamps
    };
    out.extend(stamp.to_be_bytes());
    out.extend(echo.to_be_bytes());
    if flags & SYN != 0 {
        out.extend([1, 3, 3, 7]); // window scale 7
    }
    out
}
