//! How far apart two countries are at least, and how far light comes in a time: what packet timing can contradict.
//!
//! The table (`geoip/distances.bin`) is made from Natural Earth's borders by `geoip/build_distances.py`, rounded down and less a
//! margin, so that its figures are never more than the true distance between the nearest points. What Natural Earth draws as part
//! of a country counts with it, as French Guiana with France.

use crate::geo::country::Country;

/// `MSDIST1\n`; the number of codes; the codes, sorted; one step for each pair, row by row. Little-endian.
pub(super) static TABLE: &[u8] = include_bytes!("../../geoip/distances.bin");

const MAGIC: &[u8] = b"MSDIST1\n";
/// Bytes before the codes.
const HEAD: usize = MAGIC.len().saturating_add(2);
/// Kilometres of one step.
const STEP_KM: u32 = 10;

/// The speed of light in vacuum, in metres a second: exact by the definition of the metre. Nothing is faster.
const LIGHT_M_PER_S: u128 = 299_792_458;
/// The same in glass fibre, about two thirds of it: where packets mostly travel.
const FIBRE_M_PER_S: u128 = 204_000_000;

/// Kilometres between the nearest points of two countries, at least; 0 for neighbours. None where one of them is not drawn.
pub fn km_at_least(a: Country, b: Country) -> Option<u32> {
    let count = usize::from(u16_at(MAGIC.len())?);
    let codes = TABLE.get(HEAD..HEAD.checked_add(count.checked_mul(2)?)?)?;
    let place = |country: Country| codes.as_chunks::<2>().0.binary_search(&country.bytes()).ok();
    let (one, two) = (place(a)?, place(b)?);
    let (low, high) = (one.min(two), one.max(two));
    if low == high {
        return Some(0);
    }
    // Rows before this one have count-1, count-2, .. entries.
    let before =
        low.checked_mul(count)?.checked_sub(low.checked_mul(low.checked_add(1)?)?.checked_div(2)?)?;
    let entry = before.checked_add(high.checked_sub(low)?)?.checked_sub(1)?;
    let at = HEAD.checked_add(codes.len())?.checked_add(entry.checked_mul(2)?)?;
    Some(u32::from(u16_at(at)?).saturating_mul(STEP_KM))
}

fn u16_at(at: usize) -> Option<u16> {
    TABLE.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

/// How far away, at most, somebody is who answered after so many nanoseconds, in kilometres: half the way that light comes in vacuum in
/// that time, rounded up.
pub fn km_at_most(round_trip_ns: u64) -> u32 {
    half_way_km(round_trip_ns, LIGHT_M_PER_S)
}

/// The same were all of the way glass fibre: likelier, and no bound.
pub fn km_in_fibre(round_trip_ns: u64) -> u32 {
    half_way_km(round_trip_ns, FIBRE_M_PER_S)
}

fn half_way_km(round_trip_ns: u64, m_per_s: u128) -> u32 {
    /// Nanoseconds of a second, metres of a kilometre, both ways.
    const UNITS: u128 = 1_000_000_000 * 1_000 * 2;
    let way = u128::from(round_trip_ns).saturating_mul(m_per_s);
    u32::try_from(way.div_ceil(UNITS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least(a: &str, b: &str) -> Option<u32> {
        let [one, two] = [a, b].map(|code| Country::parse(code).unwrap());
        assert_eq!(km_at_least(one, two), km_at_least(two, one), "{a} {b}");
        km_at_least(one, two)
    }

    #[test]
    fn light_comes_150_km_and_back_in_a_millisecond() {
        // SI Brochure, 9th edition, 2.2: c = 299 792 458 m/s exactly.
        assert_eq!(km_at_most(1_000_000), 150);
        assert_eq!(km_at_most(2_000_000), 300);
        assert_eq!(km_at_most(1), 1, "rounded up");
        assert_eq!(km_in_fibre(2_000_000), 204);
        assert_eq!(km_at_most(u64::MAX), u32::MAX, "clamped");
    }

    #[test]
    fn distances_are_below_those_of_cities_and_borders_that_are_known() {
        // Great-circle distances between places near the borders (OpenStreetMap coordinates), in km: an upper bound each.
        let known = [
            ("DE", "GB", 380),   // Borkum to Lowestoft
            ("IE", "US", 4_060), // Dingle to West Quoddy Head
            ("IS", "GB", 800),   // Stokksnes to Cape Wrath
            ("NZ", "AU", 1_490), // Milford Sound to Tasmania's east coast
            ("JP", "CN", 750),   // Goto to Zhoushan
            ("CU", "US", 150),   // Havana to Key West
            ("LK", "IN", 60),    // Talaimannar to Dhanushkodi
            ("BR", "ZA", 6_060), // Recife to Cape Columbine is more
        ];
        for (a, b, upper) in known {
            let found = least(a, b).unwrap();
            assert!(found <= upper, "{a} {b}: {found}");
        }
        // And not far below where the sea is wide: the margin is 60 km and the sphere 0.6 % small.
        for (a, b, lower) in [
            ("DE", "AU", 9_000),
            ("IE", "US", 3_800),
            ("NZ", "AU", 500),
            ("DE", "US", 4_900),
            ("BR", "ZA", 4_500),
        ] {
            assert!(least(a, b).unwrap() >= lower, "{a} {b}: {:?}", least(a, b));
        }
    }

    #[test]
    fn neighbours_touch_and_what_is_not_drawn_says_nothing() {
        for (a, b) in
            [("DE", "FR"), ("US", "CA"), ("CN", "HK"), ("FR", "BR"), ("ZA", "LS"), ("DE", "DE"), ("XK", "RS")]
        {
            assert_eq!(least(a, b), Some(0), "{a} {b}");
        }
        assert_eq!(least("DE", "BV"), None, "Bouvet Island");
        assert_eq!(least("DE", "DD"), None);
    }

    #[test]
    fn the_readme_names_the_table() {
        let sum = crate::geo::database::sha256_hex(TABLE);
        assert!(include_str!("../../geoip/README.md").contains(&sum), "{sum}");
    }

    #[test]
    fn the_table_is_whole() {
        let count = usize::from(u16_at(MAGIC.len()).unwrap());
        assert!(TABLE.starts_with(MAGIC));
        assert_eq!(TABLE.len(), HEAD + 2 * count + count * (count - 1));
        let codes = TABLE[HEAD..HEAD + 2 * count].as_chunks::<2>().0;
        assert!(codes.is_sorted_by(|a, b| a < b));
        let last = Country::parse(std::str::from_utf8(codes.last().unwrap()).unwrap()).unwrap();
        let before = Country::parse(std::str::from_utf8(&codes[count - 2]).unwrap()).unwrap();
        assert!(km_at_least(before, last).is_some(), "the last entry is inside");
    }
}
