//! Where in the input a packet stands, in the numbers that other tools print.

/// A file of the run and a frame number within it (from 1, as Wireshark counts), with the interface that saw it.
///
/// Packed into 64 bits: 18 for the file, 40 for the frame, 6 for the interface; ordered by file and frame.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PacketRef(u64);

const FILE_MAX: u32 = (1 << 18) - 1;
const FRAME_MAX: u64 = (1 << 40) - 1;
const INTERFACE_BITS: u32 = 6;
const FRAME_BITS: u32 = 40;
/// Interfaces from here on cannot be told apart.
const INTERFACE_MAX: u32 = (1 << INTERFACE_BITS) - 1;

impl PacketRef {
    /// Frame `frame` of file `file`, by its interface 0; both are clamped to their widths.
    pub const fn new(file: u32, frame: u64) -> Self {
        let file = if file > FILE_MAX { FILE_MAX } else { file };
        let frame = if frame > FRAME_MAX { FRAME_MAX } else { frame };
        let [a, b, c, d] = file.to_be_bytes();
        let high = u64::from_be_bytes([0, 0, 0, 0, a, b, c, d]) << FRAME_BITS;
        Self((high | frame) << INTERFACE_BITS)
    }

    /// The same packet as the interface with this index in its file saw it.
    #[must_use]
    pub const fn by_interface(self, interface: u32) -> Self {
        let interface = if interface > INTERFACE_MAX { INTERFACE_MAX } else { interface };
        let [a, b, c, d] = interface.to_be_bytes();
        Self((self.0 >> INTERFACE_BITS) << INTERFACE_BITS | u64::from_be_bytes([0, 0, 0, 0, a, b, c, d]))
    }

    /// Index of the file, from 0.
    pub const fn file(self) -> u64 {
        self.0 >> FRAME_BITS >> INTERFACE_BITS
    }

    /// Frame number within the file, from 1; 0 means that no packet stands behind it.
    pub const fn frame(self) -> u64 {
        (self.0 >> INTERFACE_BITS) & FRAME_MAX
    }

    /// Whether one clock stamped both: two files, and two interfaces of one file, may have two.
    pub(in crate::observe) const fn shares_clock(self, other: Self) -> bool {
        const INTERFACE_MASK: u64 = (1 << INTERFACE_BITS) - 1;
        let interface = self.0 & INTERFACE_MASK;
        self.file() == other.file() && interface == other.0 & INTERFACE_MASK && interface != INTERFACE_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_both_numbers() {
        let packet = PacketRef::new(3, 123_456_789_012);
        assert_eq!((packet.file(), packet.frame()), (3, 123_456_789_012));
        assert!(PacketRef::new(0, u64::MAX) < PacketRef::new(1, 1));
        let seen = packet.by_interface(2);
        assert_eq!((seen.file(), seen.frame()), (3, 123_456_789_012));
        assert!(seen.by_interface(70) < PacketRef::new(3, 123_456_789_013));
    }

    #[test]
    fn two_interfaces_have_two_clocks() {
        let [one, next] = [PacketRef::new(3, 1), PacketRef::new(3, 2)];
        assert!(one.by_interface(2).shares_clock(next.by_interface(2)));
        assert!(!one.by_interface(2).shares_clock(next));
        assert!(!one.shares_clock(PacketRef::new(4, 2)));
        assert!(
            !one.by_interface(80).shares_clock(next.by_interface(90)),
            "which ones they are is not known"
        );
    }
}
