//! pcapng blocks and options that describe packets: interfaces, statistics, names, secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::info::{FileInfo, Interface, Secret, count};
use super::room::Hold;
use super::window::wide;
use super::wire::{ByteOrder, Clock, Fields};
use crate::bytes::ParseError;

/// Most bytes of decryption secrets kept per file; a day of browsing logs less than 10 MiB.
const MAX_SECRETS: usize = 64 << 20;
/// Most secrets kept per file: an empty one costs memory too.
const MAX_SECRET_COUNT: usize = 1 << 16;
/// Most resolved names kept per file.
const MAX_NAMES: usize = 1 << 16;
/// Longest resolved or interface name kept, in bytes; DNS allows 253.
const MAX_NAME: usize = 256;

const OPTION_END: u16 = 0;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;
const NAME_END: u16 = 0;
const NAME_IPV4: u16 = 1;
const NAME_IPV6: u16 = 2;

/// The options of an interface description; false beside the clock when they are malformed.
pub(super) fn interface_options(
    fields: &mut Fields<'_>,
    order: ByteOrder,
    interface: &mut Interface,
) -> (Clock, bool) {
    let mut clock = Clock::MICROSECONDS;
    let mut whole = true;
    let read = options(fields, |code, value| match code {
        IF_NAME => interface.name = name(value),
        IF_TSRESOL => match value {
            [resolution, ..] => clock = clock.with_resolution(*resolution),
            [] => whole = false,
        },
        IF_TSOFFSET => match Fields::new(value, order).u64("if_tsoffset") {
            Ok(seconds) => clock = clock.with_offset(seconds.cast_signed()),
            Err(_) => whole = false,
        },
        _ => {}
    });
    (clock, whole && read.is_ok())
}

/// An interface statistics block: the last one of an interface counts.
pub(super) fn statistics(
    body: &[u8],
    order: ByteOrder,
    section_base: usize,
    info: &mut FileInfo,
) -> Result<(), ParseError> {
    let mut fields = Fields::new(body, order);
    let id = fields.u32("interface ID")?;
    fields.u64("timestamp")?;
    let index = usize::try_from(id).map_or(usize::MAX, |id| section_base.saturating_add(id));
    let Some(interface) = info.interfaces.get_mut(index) else {
        return Err(ParseError::Invalid { field: "interface ID", offset: 0, value: u64::from(id) });
    };
    options(&mut fields, |code, value| {
        let counter = match code {
            ISB_IFRECV => &mut interface.received,
            ISB_IFDROP => &mut interface.dropped_by_interface,
            ISB_OSDROP => &mut interface.dropped_by_os,
            _ => return,
        };
        *counter = Fields::new(value, order).u64("interface statistics counter").ok().or(*counter);
    })
}

/// A decryption secrets block.
pub(super) fn secrets(
    body: &[u8],
    order: ByteOrder,
    (kept, said): (&mut usize, &mut Hold),
    info: &mut FileInfo,
) -> Result<(), ParseError> {
    let mut fields = Fields::new(body, order);
    let kind = fields.u32("secrets type")?;
    let length = fields.u32("secrets length")?;
    let data = fields.take(length, "secrets data")?;
    let held = kept.saturating_add(data.len());
    let size = size_of::<Secret>().saturating_add(data.len());
    if held > MAX_SECRETS || info.secrets.len() >= MAX_SECRET_COUNT || !said.add(wide(size)) {
        count(&mut info.anomalies.secrets_left_out);
    } else {
        *kept = held;
        info.secrets.push(Secret { kind, data: data.to_vec() });
    }
    Ok(())
}

/// A name resolution block. Records of hardware addresses are passed over.
pub(super) fn names(
    body: &[u8],
    order: ByteOrder,
    said: &mut Hold,
    info: &mut FileInfo,
) -> Result<(), ParseError> {
    let mut fields = Fields::new(body, order);
    while !fields.is_empty() {
        let kind = fields.u16("name record type")?;
        let length = fields.u16("name record length")?;
        let value = fields.take_padded(u32::from(length), "name record")?;
        let (address, list) = match (kind, value) {
            (NAME_END, _) => break,
            (NAME_IPV4, [a, b, c, d, list @ ..]) => (IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), list),
            (NAME_IPV6, _) => match value.split_first_chunk::<16>() {
                Some((address, list)) => (IpAddr::V6(Ipv6Addr::from(*address)), list),
                None => continue,
            },
            _ => continue,
        };
        for entry in list.split(|byte| *byte == 0) {
            let Some(name) = name(entry) else { continue };
            let size = size_of::<(IpAddr, String)>().saturating_add(name.len());
            if info.names.len() >= MAX_NAMES || !said.add(wide(size)) {
                count(&mut info.anomalies.names_left_out);
            } else {
                info.names.push((address, name));
            }
        }
    }
    Ok(())
}

fn options<'a>(fields: &mut Fields<'a>, mut each: impl FnMut(u16, &'a [u8])) -> Result<(), ParseError> {
    while !fields.is_empty() {
        let code = fields.u16("option code")?;
        let length = fields.u16("option length")?;
        if code == OPTION_END {
            break;
        }
        each(code, fields.take_padded(u32::from(length), "option value")?);
    }
    Ok(())
}

/// Text up to its cap, whatever its encoding; none when empty.
fn name(bytes: &[u8]) -> Option<String> {
    let cut = bytes.get(..MAX_NAME).unwrap_or(bytes);
    let text = String::from_utf8_lossy(cut).trim_end_matches('\0').to_owned();
    (!text.is_empty()).then_some(text)
}
