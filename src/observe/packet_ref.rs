//! Where in the input a packet stands, in the numbers that other tools print.

/// A file of the run and a frame number within it (from 1, as Wireshark counts).
///
/// Packed into 64 bits: 24 for the file, 40 for the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PacketRef(u64);

const FRAME_BITS: u32 = 40;
const FRAME_MASK: u64 = (1 << FRAME_BITS) - 1;

impl PacketRef {
    /// Frame `frame` of file `file`; both are clamped to their widths.
    pub const fn new(file: u32, frame: u64) -> Self {
        let file = if file > 0x00ff_ffff { 0x00ff_ffff } else { file };
        let [a, b, c, d] = file.to_be_bytes();
        let high = u64::from_be_bytes([0, 0, 0, 0, a, b, c, d]) << FRAME_BITS;
        Self(high | if frame > FRAME_MASK { FRAME_MASK } else { frame })
    }

    /// Index of the file, from 0.
    pub const fn file(self) -> u64 {
        self.0 >> FRAME_BITS
    }

    /// Frame number within the file, from 1; 0 means that no packet stands behind it.
    pub const fn frame(self) -> u64 {
        self.0 & FRAME_MASK
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
    }
}
