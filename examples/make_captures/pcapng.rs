//! Writes pcapng: one section, an interface per tap with nanosecond time, one Enhanced Packet Block per frame.

/// A frame with the time and the interface that saw it.
pub(crate) struct Frame {
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    /// Index into the interfaces.
    pub(crate) interface: u32,
    pub(crate) bytes: Vec<u8>,
}

const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;

/// The whole file.
pub(crate) fn write(comment: &str, interfaces: &[(&str, &str)], frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut section = vec![0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
    section.extend([0xff; 8]);
    option(&mut section, COMMENT, comment.as_bytes());
    option(&mut section, SECTION_APPLICATION, b"meetscope make_captures");
    end_of_options(&mut section);
    block(&mut out, 0x0a0d_0d0a, &section);

    for (name, description) in interfaces {
        let mut body = vec![1, 0, 0, 0]; // LINKTYPE_ETHERNET
        body.extend(0_u32.to_le_bytes()); // no snap length
        option(&mut body, INTERFACE_NAME, name.as_bytes());
        option(&mut body, INTERFACE_DESCRIPTION, description.as_bytes());
        option(&mut body, INTERFACE_RESOLUTION, &[9]);
        end_of_options(&mut body);
        block(&mut out, 1, &body);
    }
    for frame in frames {
        let mut body = Vec::with_capacity(frame.bytes.len() + 24);
        let len = u32::try_from(frame.bytes.len()).unwrap();
        body.extend(frame.interface.to_le_bytes());
        body.extend(((frame.at >> 32) as u32).to_le_bytes());
        body.extend((frame.at as u32).to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(&frame.bytes);
        pad(&mut body);
        block(&mut out, 6, &body);
    }
    out
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let total = u32::try_from(body.len() + 12).unwrap();
    out.extend(kind.to_le_bytes());
    out.extend(total.to_le_bytes());
    out.extend(body);
    out.extend(total.to_le_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
    out.extend(value);
    pad(out);
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
