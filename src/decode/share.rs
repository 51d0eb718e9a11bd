//! Whose packets are whose, where several decoders share out the packets of a run.

use std::net::IpAddr;

use super::defrag::Datagram;
use super::path::Path;
use super::walk::End;

/// One decoder's share. Its packets are those between innermost addresses that a function gives it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "put together by whoever starts the decoders")]
pub struct Share {
    /// Number of this decoder, from 0.
    pub own: u32,
    /// How many there are.
    pub count: u32,
    /// The decoder of the packets between two addresses, in either order, of so many.
    pub owner: fn(IpAddr, IpAddr, u32) -> u32,
}

impl Share {
    /// Whose these packets are, where they are another's.
    #[inline]
    pub(super) fn elsewhere(&self, one: IpAddr, other: IpAddr) -> Option<u32> {
        let owner = (self.owner)(one, other, self.count);
        (owner != self.own).then_some(owner)
    }

    /// Whose a walk's end is, where it is another's. What has no addresses stays where it is.
    pub(super) fn end_elsewhere(&self, end: &End<'_>) -> Option<u32> {
        match end {
            End::Found(found) => self.elsewhere(found.ip.source, found.ip.destination),
            End::Fragment(fragment) => self.elsewhere(fragment.ip.source, fragment.ip.destination),
            End::NotIp | End::Undecodable(_) => None,
        }
    }
}

/// Whose a packet is.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "whoever deals must do something with each")]
pub enum Deal {
    /// This decoder's.
    Own,
    /// That of the decoder of this number.
    Elsewhere(u32),
    /// A fragment that was kept, or refused and counted: there is nothing to be done any more.
    Taken,
    /// It completed a datagram, which is that of the decoder of this number.
    Datagram(u32, Parcel),
}

/// A datagram put together from fragments by one decoder, for another to go on with.
#[derive(Debug)]
pub struct Parcel {
    pub(super) datagram: Datagram,
    pub(super) path: Path,
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Deal, Share};
    use crate::decode::{Config, Counters, Decoder, Outcome};
    use crate::time::Timestamp;

    const RAW_IP: u16 = 101;
    const FRAGMENTS: [u16; 2] = [0x2000, 3];

    /// RFC 791, without a checksum, which nobody reads.
    fn ip(ends: [u8; 2], protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
        let total = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
        let [f0, f1] = fragment.to_be_bytes();
        let mut packet = vec![0x45, 0, total[0], total[1], 0, 9, f0, f1, 64, protocol, 0, 0];
        packet.extend([10, 0, 0, ends[0], 10, 0, 0, ends[1]]);
        packet.extend_from_slice(body);
        packet
    }

    fn udp(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
        [&[0x10, 0, 0x20, 0, length[0], length[1], 0, 0], payload].concat()
    }

    fn by_last(one: IpAddr, other: IpAddr, count: u32) -> u32 {
        let last = |address: IpAddr| match address {
            IpAddr::V4(v4) => u32::from(v4.octets()[3]),
            IpAddr::V6(_) => 0,
        };
        (last(one) + last(other)) % count
    }

    fn decoder(own: u32) -> Decoder {
        let mut decoder = Decoder::new(Config::default());
        decoder.share(Some(Share { own, count: 2, owner: by_last }));
        decoder
    }

    /// What a decoder says of a packet: the innermost source, whose it is, or that it waits.
    fn told(outcome: &Outcome<'_>) -> String {
        match outcome {
            Outcome::Packet(decoded) => format!("{} {}", decoded.source, decoded.path),
            Outcome::Elsewhere(owner) => format!("elsewhere {owner}"),
            other => format!("{other:?}"),
        }
    }

    fn take(decoder: &mut Decoder, packet: &[u8]) -> String {
        let length = u32::try_from(packet.len()).unwrap();
        told(&decoder.decode(RAW_IP, Timestamp::default(), packet, length))
    }

    fn sum(decoders: [&Decoder; 2]) -> Counters {
        let mut all = Counters::default();
        for decoder in decoders {
            all.add(decoder.counters());
        }
        all
    }

    #[test]
    fn innermost_addresses_decide() {
        let [mut even, mut odd] = [decoder(0), decoder(1)];
        // Not the same bytes twice, which would be a second copy of a mirror port.
        let tunnelled = |outer, said: &[u8]| ip(outer, 4, 0, &ip([1, 2], 17, 0, &udp(said)));
        for outer in [tunnelled([4, 6], b"a call"), tunnelled([6, 4], b"it ends")] {
            assert_eq!(take(&mut even, &outer), "elsewhere 1");
            assert!(even.take_parcel().is_none(), "the frame itself is handed over");
            assert!(take(&mut odd, &outer).starts_with("10.0.0.1:4096"));
        }
        assert!(take(&mut even, &ip([1, 3], 17, 0, &udp(b"b"))).starts_with("10.0.0.1:4096"));
        assert_eq!((even.counters().packets, even.counters().decoded), (1, 1));
        assert_eq!(odd.counters().packets, 2, "counted by its owner");
    }

    #[test]
    fn fragments_stay_with_their_addresses() {
        let mut odd = decoder(1);
        let whole = udp(&[7; 40]);
        let pieces = [ip([1, 2], 17, FRAGMENTS[0], &whole[..24]), ip([2, 1], 17, FRAGMENTS[1], &whole[24..])];
        assert_eq!(take(&mut odd, &pieces[0]), "Fragment");
        assert_eq!(take(&mut decoder(0), &pieces[0]), "elsewhere 1");
        assert_eq!(take(&mut decoder(0), &pieces[1]), "elsewhere 1", "the way back is the same one's");
    }

    #[test]
    fn a_datagram_put_together_is_handed_over_whole() {
        let inner = ip([1, 2], 17, 0, &udp(&[7; 40]));
        let pieces = [ip([4, 6], 4, FRAGMENTS[0], &inner[..24]), ip([4, 6], 4, FRAGMENTS[1], &inner[24..])];
        let mut alone = Decoder::new(Config::default());
        let expected = pieces.each_ref().map(|piece| take(&mut alone, piece));
        let [mut even, mut odd] = [decoder(0), decoder(1)];
        assert_eq!(take(&mut even, &pieces[0]), expected[0]);
        assert_eq!(take(&mut even, &pieces[1]), "elsewhere 1");
        let parcel = even.take_parcel().unwrap();
        assert_eq!(told(&odd.resume(parcel, Timestamp::default())), expected[1]);
        assert!(expected[1].starts_with("10.0.0.1:4096"), "{expected:?}");
        assert_eq!(&sum([&even, &odd]), alone.counters());
    }

    #[test]
    fn dealing_before_decoding_says_the_same() {
        let deal = |decoder: &mut Decoder, packet: &[u8]| {
            decoder.deal(RAW_IP, Timestamp::default(), packet, u32::try_from(packet.len()).unwrap())
        };
        let inner = ip([1, 2], 17, 0, &udp(&[7; 40]));
        let [mut even, mut odd] = [decoder(0), decoder(1)];
        assert!(matches!(deal(&mut even, &ip([4, 6], 4, 0, &inner)), Deal::Elsewhere(1)));
        assert!(matches!(deal(&mut odd, &ip([4, 6], 4, 0, &inner)), Deal::Own));
        assert_eq!((even.counters().packets, odd.counters().packets), (0, 0), "nothing is decoded yet");
        let pieces = [ip([4, 6], 4, FRAGMENTS[0], &inner[..24]), ip([4, 6], 4, FRAGMENTS[1], &inner[24..])];
        assert!(matches!(deal(&mut even, &pieces[0]), Deal::Taken));
        let Deal::Datagram(1, parcel) = deal(&mut even, &pieces[1]) else { panic!("it is the other's") };
        assert!(told(&odd.resume(parcel, Timestamp::default())).starts_with("10.0.0.1:4096"));
        let mut alone = Decoder::new(Config::default());
        for piece in &pieces {
            take(&mut alone, piece);
        }
        assert_eq!(&sum([&even, &odd]), alone.counters());
    }

    #[test]
    fn who_is_alone_takes_all() {
        let mut even = decoder(0);
        even.share(None);
        assert!(take(&mut even, &ip([1, 2], 17, 0, &udp(b"a"))).starts_with("10.0.0.1:4096"));
    }
}
