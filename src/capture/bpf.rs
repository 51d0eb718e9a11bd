//! Capture filters in libpcap's language.
//!
//! In: an expression as tcpdump takes it. Out: a [`Filter`]. libpcap compiles the expression; the program runs
//! here, because the binding's own runner takes the captured length for the length on the wire (so `greater`
//! would lie about cut packets) and because its programs cannot move between threads.

use pcap::{BpfInstruction, Capture, Linktype};

use super::error::{CaptureError, Fault};
use super::link_type::LinkType;

/// Scratch memory of the classic BPF machine, in words.
const SCRATCH: usize = 16;

/// A compiled filter for packets of one link type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    snaplen: usize,
}

/// Compiles a filter expression for packets of `link_type`. It sees at most `snaplen` bytes of a packet, as a
/// live filter would; 0 is no limit.
///
/// # Errors
/// [`Fault::BadFilter`] with libpcap's words.
pub fn compile_bpf(expr: &str, link_type: LinkType, snaplen: u32) -> Result<Filter, CaptureError> {
    let compiled = Capture::dead(Linktype(link_type.dlt())).and_then(|dead| dead.compile(expr, true));
    let compiled = compiled.map_err(|error| bad_filter(expr, error.to_string()))?;
    let program = compiled.get_instructions().iter().map(Instruction::decode).collect::<Option<Vec<_>>>();
    let Some(program) = program else {
        return Err(bad_filter(expr, format!("the program for {link_type} has an unknown instruction")));
    };
    let snaplen = if snaplen == 0 { usize::MAX } else { usize::try_from(snaplen).unwrap_or(usize::MAX) };
    Ok(Filter { program, snaplen })
}

fn bad_filter(expr: &str, message: String) -> CaptureError {
    CaptureError::new(&format!("filter {expr:?}"), Fault::BadFilter { message })
}

impl Filter {
    /// True when the packet passes. A load beyond the captured bytes fails the packet, as in the kernel.
    pub fn matches(&self, data: &[u8], original_len: u32) -> bool {
        let data = data.get(..self.snaplen).unwrap_or(data);
        let mut machine = Machine { data, original_len, a: 0, x: 0, scratch: [0; SCRATCH] };
        let mut rest = self.program.as_slice();
        // Jumps only go forward, so the program's length bounds the run.
        while let Some((instruction, after)) = rest.split_first() {
            match machine.step(instruction) {
                Step::Jump(over) => rest = after.get(over..).unwrap_or_default(),
                Step::Return(length) => return length != 0,
            }
        }
        false
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Constant(u32),
    X,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Modulo,
    Xor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    /// Packet bytes to A: how many, from where, and whether X is added to the offset.
    Load {
        width: u8,
        offset: u32,
        indexed: bool,
    },
    /// Four times the low nibble of a packet byte to X: the length of an IPv4 header.
    LoadHeaderLength(u32),
    LoadConstant {
        to_x: bool,
        value: u32,
    },
    LoadLength {
        to_x: bool,
    },
    LoadScratch {
        to_x: bool,
        slot: usize,
    },
    Store {
        from_x: bool,
        slot: usize,
    },
    Calculate(Arithmetic, Operand),
    Negate,
    Jump(usize),
    JumpIf {
        test: Test,
        operand: Operand,
        then: usize,
        otherwise: usize,
    },
    ReturnConstant(u32),
    ReturnA,
    CopyAToX,
    CopyXToA,
}

impl Instruction {
    /// The binding keeps the four numbers private but prints them.
    fn decode(raw: &BpfInstruction) -> Option<Self> {
        let printed = raw.to_string();
        let mut numbers = printed.split(' ').map(str::parse::<u32>);
        let mut number = || numbers.next()?.ok();
        let (code, jump_true, jump_false, k) = (number()?, number()?, number()?, number()?);
        Self::from_numbers(code, jump_true, jump_false, k)
    }

    /// By instruction class, the low three bits of the code.
    fn from_numbers(code: u32, jump_true: u32, jump_false: u32, k: u32) -> Option<Self> {
        let operand = if code & 0x08 == 0 { Operand::Constant(k) } else { Operand::X };
        match code & 0x07 {
            class @ (0 | 1) => Self::load(code, class == 1, k),
            class @ (2 | 3) => Some(Self::Store { from_x: class == 3, slot: slot(k)? }),
            4 if code & 0xf0 == 0x80 => Some(Self::Negate),
            4 => Some(Self::Calculate(arithmetic(code)?, operand)),
            5 if code & 0xf0 == 0 => Some(Self::Jump(usize::try_from(k).ok()?)),
            5 => Some(Self::JumpIf {
                test: test(code)?,
                operand,
                then: usize::try_from(jump_true).ok()?,
                otherwise: usize::try_from(jump_false).ok()?,
            }),
            6 if code & 0x18 == 0x10 => Some(Self::ReturnA),
            6 if code & 0x18 == 0 => Some(Self::ReturnConstant(k)),
            7 if code & 0xf8 == 0 => Some(Self::CopyAToX),
            7 if code & 0xf8 == 0x80 => Some(Self::CopyXToA),
            _ => None,
        }
    }

    /// By addressing mode, the high three bits of the code.
    fn load(code: u32, to_x: bool, k: u32) -> Option<Self> {
        match (code & 0xe0, to_x) {
            (0x00, _) => Some(Self::LoadConstant { to_x, value: k }),
            (mode @ (0x20 | 0x40), false) => {
                let width = match code & 0x18 {
                    0x00 => 4,
                    0x08 => 2,
                    0x10 => 1,
                    _ => return None,
                };
                Some(Self::Load { width, offset: k, indexed: mode == 0x40 })
            }
            (0x60, _) => Some(Self::LoadScratch { to_x, slot: slot(k)? }),
            (0x80, _) => Some(Self::LoadLength { to_x }),
            (0xa0, true) => Some(Self::LoadHeaderLength(k)),
            _ => None,
        }
    }
}

fn slot(k: u32) -> Option<usize> {
    usize::try_from(k).ok().filter(|slot| *slot < SCRATCH)
}

const fn arithmetic(code: u32) -> Option<Arithmetic> {
    Some(match code & 0xf0 {
        0x00 => Arithmetic::Add,
        0x10 => Arithmetic::Subtract,
        0x20 => Arithmetic::Multiply,
        0x30 => Arithmetic::Divide,
        0x40 => Arithmetic::Or,
        0x50 => Arithmetic::And,
        0x60 => Arithmetic::ShiftLeft,
        0x70 => Arithmetic::ShiftRight,
        0x90 => Arithmetic::Modulo,
        0xa0 => Arithmetic::Xor,
        _ => return None,
    })
}

const fn test(code: u32) -> Option<Test> {
    Some(match code & 0xf0 {
        0x10 => Test::Equal,
        0x20 => Test::Greater,
        0x30 => Test::GreaterOrEqual,
        0x40 => Test::AnyBit,
        _ => return None,
    })
}

struct Machine<'a> {
    data: &'a [u8],
    original_len: u32,
    a: u32,
    x: u32,
    scratch: [u32; SCRATCH],
}

enum Step {
    /// Go on, over this many instructions.
    Jump(usize),
    Return(u32),
}

impl Machine<'_> {
    #[inline]
    fn step(&mut self, instruction: &Instruction) -> Step {
        match *instruction {
            Instruction::Load { width, offset, indexed } => {
                let base = if indexed { self.x } else { 0 };
                let Some(value) = offset.checked_add(base).and_then(|at| self.packet(at, width)) else {
                    return Step::Return(0);
                };
                self.a = value;
            }
            Instruction::LoadHeaderLength(offset) => match self.packet(offset, 1) {
                Some(byte) => self.x = (byte & 0x0f) << 2,
                None => return Step::Return(0),
            },
            Instruction::LoadConstant { to_x, value } => self.set(to_x, value),
            Instruction::LoadLength { to_x } => self.set(to_x, self.original_len),
            Instruction::LoadScratch { to_x, slot } => {
                self.set(to_x, self.scratch.get(slot).copied().unwrap_or(0));
            }
            Instruction::Store { from_x, slot } => {
                let value = if from_x { self.x } else { self.a };
                if let Some(word) = self.scratch.get_mut(slot) {
                    *word = value;
                }
            }
            Instruction::Calculate(operation, operand) => match self.calculate(operation, operand) {
                Some(value) => self.a = value,
                None => return Step::Return(0),
            },
            Instruction::Negate => self.a = self.a.wrapping_neg(),
            Instruction::Jump(over) => return Step::Jump(over),
            Instruction::JumpIf { test, operand, then, otherwise } => {
                return Step::Jump(if self.test(test, operand) { then } else { otherwise });
            }
            Instruction::ReturnConstant(length) => return Step::Return(length),
            Instruction::ReturnA => return Step::Return(self.a),
            Instruction::CopyAToX => self.x = self.a,
            Instruction::CopyXToA => self.a = self.x,
        }
        Step::Jump(0)
    }

    const fn set(&mut self, to_x: bool, value: u32) {
        if to_x {
            self.x = value;
        } else {
            self.a = value;
        }
    }

    fn operand(&self, operand: Operand) -> u32 {
        match operand {
            Operand::Constant(value) => value,
            Operand::X => self.x,
        }
    }

    /// None for a division by zero, which ends the program.
    fn calculate(&self, operation: Arithmetic, operand: Operand) -> Option<u32> {
        let other = self.operand(operand);
        match operation {
            Arithmetic::Add => Some(self.a.wrapping_add(other)),
            Arithmetic::Subtract => Some(self.a.wrapping_sub(other)),
            Arithmetic::Multiply => Some(self.a.wrapping_mul(other)),
            Arithmetic::Divide => self.a.checked_div(other),
            Arithmetic::Or => Some(self.a | other),
            Arithmetic::And => Some(self.a & other),
            Arithmetic::ShiftLeft => Some(self.a.checked_shl(other).unwrap_or(0)),
            Arithmetic::ShiftRight => Some(self.a.checked_shr(other).unwrap_or(0)),
            Arithmetic::Modulo => self.a.checked_rem(other),
            Arithmetic::Xor => Some(self.a ^ other),
        }
    }

    fn test(&self, test: Test, operand: Operand) -> bool {
        let other = self.operand(operand);
        match test {
            Test::Equal => self.a == other,
            Test::Greater => self.a > other,
            Test::GreaterOrEqual => self.a >= other,
            Test::AnyBit => self.a & other != 0,
        }
    }

    /// `width` bytes of the packet as a big-endian integer.
    #[inline]
    fn packet(&self, offset: u32, width: u8) -> Option<u32> {
        let rest = self.data.get(usize::try_from(offset).ok()?..)?;
        match width {
            1 => rest.first().map(|byte| u32::from(*byte)),
            2 => rest.first_chunk().map(|bytes| u32::from(u16::from_be_bytes(*bytes))),
            _ => rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXPRESSIONS: [&str; 12] = [
        "",
        "udp",
        "udp port 3478",
        "tcp and not port 22",
        "vlan 7 and ip",
        "ip6 host 2001:db8::1 or net 10.0.0.0/8",
        "greater 100",
        "udp[8:2] & 0xc000 = 0x8000",
        "ip[0] & 0xf != 5 and tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
        "len - 4 * (ip[0] & 0xf) > 60 and ip[2:2] / 3 >= 7",
        "portrange 8801-8810 and (dst net 192.0.2.0/24 or less 90)",
        "ether[12:2] << ether[0] = 0x800 or ip[8] % 2 = 1",
    ];

    /// IPv4 and UDP as RFC 791 and RFC 768 draw them.
    fn udp_packet(port: u16) -> Vec<u8> {
        let mut packet = vec![2; 12];
        packet.extend([0x08, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9]);
        packet.extend(port.to_be_bytes());
        packet.extend([0x20, 0, 0, 12, 0, 0, 1, 2, 3, 4]);
        packet
    }

    #[test]
    fn expressions_select_what_they_say() {
        let matches =
            |expr: &str, data: &[u8]| compile_bpf(expr, LinkType::ETHERNET, 0).unwrap().matches(data, 46);
        let packet = udp_packet(3478);
        assert!(matches("", &packet));
        assert!(matches("udp port 3478 and host 192.0.2.9", &packet));
        assert!(!matches("udp port 3479", &packet));
        assert!(!matches("tcp", &packet));
        assert!(!matches("udp port 3478", &packet[..30]), "a cut packet fails");
        let raw = compile_bpf("udp port 3478", LinkType::RAW, 0).unwrap();
        assert!(raw.matches(&packet[14..], 32));
    }

    #[test]
    fn length_tests_see_the_length_on_the_wire() {
        let filter = compile_bpf("greater 1000", LinkType::ETHERNET, 0).unwrap();
        assert!(filter.matches(&udp_packet(1), 1400));
        assert!(!filter.matches(&udp_packet(1), 46));
    }

    #[test]
    fn a_snapshot_length_hides_what_is_behind_it() {
        let packet = udp_packet(3478);
        let whole = compile_bpf("udp port 3478", LinkType::ETHERNET, 65_535).unwrap();
        let head = compile_bpf("udp port 3478", LinkType::ETHERNET, 30).unwrap();
        assert!(whole.matches(&packet, 46));
        assert!(!head.matches(&packet, 46));
    }

    #[test]
    fn a_wrong_expression_says_why() {
        let error = compile_bpf("udp prot 80", LinkType::ETHERNET, 0).unwrap_err();
        assert!(matches!(error.fault, Fault::BadFilter { .. }));
        assert!(error.to_string().contains("syntax error"), "{error}");
    }

    #[test]
    fn filters_cross_threads() {
        fn check<T: Send + Sync>() {}
        check::<Filter>();
    }

    proptest! {
        /// libpcap's own runner is the truth, where captured and original length are the same.
        #[test]
        fn agrees_with_libpcap(
            noise in proptest::collection::vec(any::<u8>(), 0..120),
            ports in any::<u16>(),
            cut in 0..60_usize,
        ) {
            let mut headed = udp_packet(ports);
            headed.truncate(cut);
            headed.extend(&noise);
            for expr in EXPRESSIONS {
                let theirs = Capture::dead(Linktype(1)).unwrap().compile(expr, true).unwrap();
                let ours = compile_bpf(expr, LinkType::ETHERNET, 0).unwrap();
                for data in [&noise, &headed] {
                    let length = u32::try_from(data.len()).unwrap();
                    prop_assert_eq!(ours.matches(data, length), theirs.filter(data), "{}", expr);
                }
            }
        }

        #[test]
        fn any_program_ends(numbers in proptest::collection::vec(any::<(u8, u8, u8, u32)>(), 0..50)) {
            let program = numbers
                .into_iter()
                .filter_map(|(code, yes, no, k)| {
                    Instruction::from_numbers(code.into(), yes.into(), no.into(), k)
                })
                .collect();
            Filter { program, snaplen: usize::MAX }.matches(&udp_packet(1), 46);
        }
    }
}
