//! Which worker a packet belongs to: by its addresses alone, so that both directions and all fragments come to one.
//!
//! The same function twice: in Rust over the innermost addresses, and as a program of classic BPF that the kernel runs over the
//! outermost ones (`PACKET_FANOUT_CBPF`; its own flow hash takes the ports in, which fragments lack). Where the two differ, in a
//! tunnel, the packet is handed over in user space: the kernel's dealing saves work and decides nothing.

use std::net::IpAddr;

const MULTIPLY_XOR: u32 = 0x9e37_79b1;
const MULTIPLY_SUM: u32 = 0x85eb_ca6b;

/// The worker, from 0, of the packets between two addresses, in either order.
pub fn owner(one: IpAddr, other: IpAddr, workers: u32) -> u32 {
    hash(folded(one), folded(other)).checked_rem(workers).unwrap_or(0)
}

/// Neighbours that talk to neighbours have equal differences, hence the sum.
const fn hash(one: u32, other: u32) -> u32 {
    let mixed = (one ^ other).wrapping_mul(MULTIPLY_XOR) ^ one.wrapping_add(other).wrapping_mul(MULTIPLY_SUM);
    mixed ^ (mixed >> 16)
}

fn folded(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let words = u128::from(v6).to_be_bytes();
            let (words, _) = words.as_chunks::<4>();
            words.iter().fold(0, |sum, word| sum ^ u32::from_be_bytes(*word))
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use program::program;

#[cfg(target_os = "linux")]
mod program {
    use super::{MULTIPLY_SUM, MULTIPLY_XOR};
    use crate::capture::live::sockopt::Instruction;

    /// `linux/filter.h`: places behind this are counted from the network header, which behind the outermost VLAN tag is where
    /// the kernel says; for sent packets it is as well.
    const NETWORK: u32 = 0xfff0_0000;
    /// `linux/filter.h`: the `EtherType` that the kernel has read.
    const PROTOCOL: u32 = 0xffff_f000;

    const LOAD: u16 = 0x20; // ld [k]
    const LOAD_HALF: u16 = 0x28; // ldh [k]
    const LOAD_AT_X: u16 = 0x40; // ld [x + k]
    const LOAD_HALF_AT_X: u16 = 0x48; // ldh [x + k]
    const LOAD_BYTE_AT_X: u16 = 0x50; // ldb [x + k]
    const LOAD_SLOT: u16 = 0x60; // ld M[k]
    const SET_X: u16 = 0x01; // ldx #k
    const SET_X_SLOT: u16 = 0x61; // ldx M[k]
    const STORE: u16 = 0x02; // st M[k]
    const ADD: u16 = 0x04; // add #k
    const ADD_X: u16 = 0x0c; // add x
    const MULTIPLY: u16 = 0x24; // mul #k
    const SHIFT_RIGHT: u16 = 0x74; // rsh #k
    const XOR_X: u16 = 0xac; // xor x
    const TO_X: u16 = 0x07; // tax
    const FROM_X: u16 = 0x87; // txa
    const JUMP: u16 = 0x05; // ja
    const JUMP_EQUAL: u16 = 0x15; // jeq #k
    const JUMP_SET: u16 = 0x45; // jset #k
    const RETURN: u16 = 0x06; // ret #k
    const RETURN_A: u16 = 0x16; // ret a

    const IPV4: u32 = 0x0800;
    const IPV6: u32 = 0x86dd;
    const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
    const MPLS: u32 = 0x8847;
    const PPPOE: u32 = 0x8864;

    /// Labels of MPLS that are passed.
    const LABELS: usize = 3;
    /// Tags that are passed behind the one that the kernel takes off.
    const TAGGED: u32 = 2;

    /// A program in the making; jumps go to names that are put in their place at the end.
    #[derive(Default)]
    struct Builder {
        code: Vec<Instruction>,
        jumps: Vec<(usize, Jump)>,
        labels: Vec<(Label, usize)>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Label {
        Checked,
        Tag(u32),
        Pppoe,
        Mpls,
        Inside,
        V4,
        V6,
        Mix,
    }

    #[derive(Clone, Copy)]
    enum Jump {
        /// Where the test holds; else on.
        When(Label),
        Always(Label),
    }

    impl Builder {
        fn push(&mut self, code: u16, k: u32) {
            self.code.push(Instruction { code, jt: 0, jf: 0, k });
        }

        fn when(&mut self, code: u16, k: u32, label: Label) {
            self.jumps.push((self.code.len(), Jump::When(label)));
            self.push(code, k);
        }

        fn jump(&mut self, label: Label) {
            self.jumps.push((self.code.len(), Jump::Always(label)));
            self.push(JUMP, 0);
        }

        fn label(&mut self, label: Label) {
            self.labels.push((label, self.code.len()));
        }

        /// All jumps go forward, by what remains between the jump and its label; none further than a byte says.
        fn finish(mut self) -> Vec<Instruction> {
            for (from, jump) in self.jumps {
                let (Jump::When(label) | Jump::Always(label)) = jump;
                let to = self.labels.iter().find(|(name, _)| *name == label).map_or(0, |(_, to)| *to);
                let distance = to.saturating_sub(from).saturating_sub(1);
                if let Some(instruction) = self.code.get_mut(from) {
                    match jump {
                        Jump::When(_) => instruction.jt = u8::try_from(distance).unwrap_or(u8::MAX),
                        Jump::Always(_) => instruction.k = u32::try_from(distance).unwrap_or(0),
                    }
                }
            }
            self.code
        }
    }

    /// Deals by the outermost addresses, behind VLAN tags, MPLS labels and a `PPPoE` header; worker 0 where there are none. The
    /// kernel divides the result by the number of sockets and takes the rest.
    pub(in crate::capture::live) fn program() -> Vec<Instruction> {
        let mut builder = Builder::default();
        tags(&mut builder);
        links(&mut builder);
        addresses(&mut builder);
        mix(&mut builder);
        builder.finish()
    }

    /// Leaves the `EtherType` in the accumulator and the place of what follows in the index.
    fn tags(b: &mut Builder) {
        b.push(SET_X, 0);
        b.push(LOAD, PROTOCOL);
        for tag in 0..TAGGED {
            for kind in TAGS {
                b.when(JUMP_EQUAL, kind, Label::Tag(tag));
            }
            b.jump(Label::Checked);
            b.label(Label::Tag(tag));
            let at = tag.wrapping_mul(4);
            b.push(SET_X, at.wrapping_add(4));
            b.push(LOAD_HALF, NETWORK.wrapping_add(at).wrapping_add(2));
        }
        b.label(Label::Checked);
    }

    fn links(b: &mut Builder) {
        b.when(JUMP_EQUAL, IPV4, Label::V4);
        b.when(JUMP_EQUAL, IPV6, Label::V6);
        b.when(JUMP_EQUAL, MPLS, Label::Mpls);
        b.when(JUMP_EQUAL, PPPOE, Label::Pppoe);
        b.push(RETURN, 0);
        // RFC 2516: version, code, session, length; then the protocol of RFC 1661.
        b.label(Label::Pppoe);
        skip(b, 8);
        b.push(LOAD_HALF_AT_X, NETWORK.wrapping_sub(2));
        b.when(JUMP_EQUAL, 0x0021, Label::V4);
        b.when(JUMP_EQUAL, 0x0057, Label::V6);
        b.push(RETURN, 0);
        // RFC 3032: the last label of a stack has its bottom bit set.
        b.label(Label::Mpls);
        for _ in 0..LABELS {
            skip(b, 4);
            b.push(LOAD_AT_X, NETWORK.wrapping_sub(4));
            b.when(JUMP_SET, 0x0100, Label::Inside);
        }
        b.push(RETURN, 0);
        b.label(Label::Inside);
        b.push(LOAD_BYTE_AT_X, NETWORK);
        b.push(SHIFT_RIGHT, 4);
        b.when(JUMP_EQUAL, 4, Label::V4);
        b.when(JUMP_EQUAL, 6, Label::V6);
        b.push(RETURN, 0);
    }

    fn skip(b: &mut Builder, bytes: u32) {
        b.push(FROM_X, 0);
        b.push(ADD, bytes);
        b.push(TO_X, 0);
    }

    /// Leaves the two addresses, folded, in slots 0 and 1.
    fn addresses(b: &mut Builder) {
        b.label(Label::V4);
        for (slot, at) in [(0, 12), (1, 16)] {
            b.push(LOAD_AT_X, NETWORK.wrapping_add(at));
            b.push(STORE, slot);
        }
        b.jump(Label::Mix);
        b.label(Label::V6);
        for word in 0..8_u32 {
            b.push(LOAD_AT_X, NETWORK.wrapping_add(8).wrapping_add(word.wrapping_mul(4)));
            b.push(STORE, word.wrapping_add(2));
        }
        for (slot, first) in [(0, 2), (1, 6)] {
            b.push(LOAD_SLOT, first);
            for word in 1..4 {
                b.push(SET_X_SLOT, first.wrapping_add(word));
                b.push(XOR_X, 0);
            }
            b.push(STORE, slot);
        }
        b.label(Label::Mix);
    }

    fn mix(b: &mut Builder) {
        b.push(LOAD_SLOT, 0);
        b.push(SET_X_SLOT, 1);
        b.push(XOR_X, 0);
        b.push(MULTIPLY, MULTIPLY_XOR);
        b.push(STORE, 2);
        b.push(LOAD_SLOT, 0);
        b.push(ADD_X, 0);
        b.push(MULTIPLY, MULTIPLY_SUM);
        b.push(SET_X_SLOT, 2);
        b.push(XOR_X, 0);
        b.push(TO_X, 0);
        b.push(SHIFT_RIGHT, 16);
        b.push(XOR_X, 0);
        b.push(RETURN_A, 0);
    }

    #[cfg(test)]
    mod tests {
        use std::net::IpAddr;

        use super::super::{folded, hash};
        use super::*;

        /// The kernel's machine, as far as the program needs it (Documentation/networking/filter.rst).
        fn run(code: &[Instruction], protocol: u32, network: &[u8]) -> u32 {
            let (mut a, mut x, mut slots, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
            let load = |place: u32, width: usize| {
                let place = usize::try_from(place.wrapping_sub(NETWORK)).unwrap();
                let bytes = network.get(place..place + width)?;
                Some(bytes.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)))
            };
            loop {
                let Instruction { code: operation, jt, k, .. } = code[at];
                at += 1;
                let loaded = match operation {
                    LOAD if k == PROTOCOL => Some(protocol),
                    LOAD => load(k, 4),
                    LOAD_HALF => load(k, 2),
                    LOAD_AT_X => load(k.wrapping_add(x), 4),
                    LOAD_HALF_AT_X => load(k.wrapping_add(x), 2),
                    LOAD_BYTE_AT_X => load(k.wrapping_add(x), 1),
                    _ => Some(a),
                };
                // A load beyond the packet ends the program with 0.
                let Some(loaded) = loaded else { return 0 };
                a = loaded;
                match operation {
                    LOAD_SLOT => a = slots[usize::try_from(k).unwrap()],
                    SET_X => x = k,
                    SET_X_SLOT => x = slots[usize::try_from(k).unwrap()],
                    STORE => slots[usize::try_from(k).unwrap()] = a,
                    ADD => a = a.wrapping_add(k),
                    ADD_X => a = a.wrapping_add(x),
                    MULTIPLY => a = a.wrapping_mul(k),
                    SHIFT_RIGHT => a >>= k,
                    XOR_X => a ^= x,
                    TO_X => x = a,
                    FROM_X => a = x,
                    JUMP => at += usize::try_from(k).unwrap(),
                    JUMP_EQUAL if a == k => at += usize::from(jt),
                    JUMP_SET if a & k != 0 => at += usize::from(jt),
                    RETURN => return k,
                    RETURN_A => return a,
                    // What is to be loaded is loaded, and a jump that is not taken is none.
                    LOAD | LOAD_HALF | LOAD_AT_X | LOAD_HALF_AT_X | LOAD_BYTE_AT_X | JUMP_EQUAL
                    | JUMP_SET => {}
                    _ => panic!("operation {operation:#x}"),
                }
            }
        }

        fn packet(source: &str, destination: &str) -> (u32, Vec<u8>) {
            let (source, destination): (IpAddr, IpAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let bytes = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            let (kind, mut packet) =
                if source.is_ipv4() { (IPV4, vec![0x45; 12]) } else { (IPV6, vec![0x60; 8]) };
            packet.extend(bytes(source));
            packet.extend(bytes(destination));
            (kind, packet)
        }

        #[test]
        fn the_kernel_deals_as_we_do_behind_every_tag() {
            let code = program();
            let pairs =
                [("10.1.2.3", "192.0.2.7"), ("2001:db8:1::17", "2001:db8::2"), ("10.0.0.1", "10.0.0.1")];
            for (one, other) in pairs {
                let expected = hash(folded(one.parse().unwrap()), folded(other.parse().unwrap()));
                for (source, destination) in [(one, other), (other, one)] {
                    let (kind, plain) = packet(source, destination);
                    let type_bytes = &kind.to_be_bytes()[2..];
                    assert_eq!(run(&code, kind, &plain), expected, "{one} {other}");
                    let tagged = [&[0, 7], type_bytes, &plain].concat();
                    assert_eq!(run(&code, 0x8100, &tagged), expected, "one tag is left");
                    let twice = [&[0, 7, 0x81, 0, 0, 9], type_bytes, &plain].concat();
                    assert_eq!(run(&code, 0x88a8, &twice), expected, "two tags are left");
                    let ppp: &[u8] = if kind == IPV4 { &[0x00, 0x21] } else { &[0x00, 0x57] };
                    let session = [&[0x11, 0, 0, 1, 0, 99], ppp, &plain].concat();
                    assert_eq!(run(&code, 0x8864, &session), expected, "PPPoE");
                    let labels = [&[0, 1, 0, 64, 0, 2, 1, 64], &plain[..]].concat();
                    assert_eq!(run(&code, 0x8847, &labels), expected, "two labels");
                }
            }
        }

        #[test]
        fn what_has_no_addresses_is_the_first_workers() {
            let code = program();
            assert_eq!(run(&code, 0x0806, &[0; 28]), 0);
            let (kind, plain) = packet("10.1.2.3", "192.0.2.7");
            assert_eq!(run(&code, kind, &plain[..18]), 0, "cut");
            assert_eq!(run(&code, 0x8847, &[0; 64]), 0, "no label is the last");
        }

        #[test]
        fn the_program_is_one_that_the_kernel_takes() {
            let code = program();
            assert!(code.len() < 256, "jumps are bytes: {}", code.len());
            for (at, instruction) in code.iter().enumerate() {
                let forward = match instruction.code {
                    JUMP => usize::try_from(instruction.k).unwrap(),
                    JUMP_EQUAL | JUMP_SET => usize::from(instruction.jt),
                    _ => continue,
                };
                assert!(at + 1 + forward < code.len(), "the jump at {at}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_worker_and_clients_are_spread() {
        for server in ["192.0.2.7", "10.0.0.1", "2001:db8::7"] {
            let server: IpAddr = server.parse().unwrap();
            for workers in [2, 3, 4, 8] {
                let mut shares = vec![0_u32; usize::try_from(workers).unwrap()];
                for host in 0..2048_u32 {
                    let client = match server {
                        IpAddr::V4(_) => IpAddr::from((0x0a00_0000 + host).to_be_bytes()),
                        IpAddr::V6(_) => {
                            IpAddr::from((u128::from(0x2001_0db8_u32) << 96 | u128::from(host)).to_be_bytes())
                        }
                    };
                    let own = owner(client, server, workers);
                    assert_eq!(own, owner(server, client, workers));
                    shares[usize::try_from(own).unwrap()] += 1;
                }
                let fair = 2048 / workers;
                assert!(shares.iter().all(|share| share.abs_diff(fair) < fair / 3), "{server}: {shares:?}");
            }
        }
    }

    #[test]
    fn neighbours_that_talk_to_neighbours_are_spread() {
        let mut shares = [0_u32; 4];
        for host in 0..=255_u8 {
            let own = owner(IpAddr::from([10, 0, 0, host]), IpAddr::from([10, 0, 1, host]), 4);
            shares[usize::try_from(own).unwrap()] += 1;
        }
        assert!(shares.iter().all(|share| *share > 32), "{shares:?}");
    }

    #[test]
    fn without_workers_there_is_no_division() {
        assert_eq!(owner(IpAddr::from([1, 2, 3, 4]), IpAddr::from([5, 6, 7, 8]), 0), 0);
    }
}
