//! Memory that will be read or written soon, asked for while something else is worked on.

/// Bytes of a line of the cache.
const LINE: usize = 64;
/// Lines asked for of one thing at most.
const MOST: usize = 4;

/// Asks for the first lines of a thing; nothing waits for them, and nothing is read. On other processors than x86-64 it does nothing.
#[inline]
pub(crate) fn fetch<T>(thing: &T) {
    lines(thing).for_each(ask);
}

/// Asks for the line that bytes begin in. On other processors than x86-64 the first is read, and nothing waits for what it is.
#[inline]
pub(crate) fn fetch_start(bytes: &[u8]) {
    let Some(first) = bytes.first() else { return };
    if cfg!(target_arch = "x86_64") {
        fetch(first);
    } else {
        std::hint::black_box(*first);
    }
}

/// Asks for the first lines of a place that will be written to, so that no other core keeps them. Else the writing waits for that core, and
/// so does whoever reads what was written since. On other processors than x86-64 it does nothing.
#[inline]
pub(crate) fn fetch_to_write<T>(place: &mut T) {
    lines(place).for_each(ask_to_write);
}

#[inline]
fn lines<T>(thing: &T) -> impl Iterator<Item = *const i8> {
    let first = std::ptr::from_ref(thing).cast::<i8>();
    (0..size_of::<T>().div_ceil(LINE).min(MOST)).map(move |line| first.wrapping_add(line.wrapping_mul(LINE)))
}

#[inline]
#[cfg(target_arch = "x86_64")]
fn ask(address: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint that faults for no address; each is within a thing that there is.
    #[expect(unsafe_code, reason = "the instruction has no safe name")]
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
}

#[inline]
#[cfg(not(target_arch = "x86_64"))]
const fn ask(_address: *const i8) {}

#[inline]
#[cfg(target_arch = "x86_64")]
fn ask_to_write(address: *const i8) {
    if !*KNOWS_PREFETCHW {
        return;
    }
    // SAFETY: a hint that this processor knows, that faults for no address and changes neither memory nor a register.
    #[expect(unsafe_code, reason = "what the library has for it comes to a hint for reading")]
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) address.addr(), options(nomem, nostack, preserves_flags));
    }
}

/// Whether the processor says that it knows the instruction (CPUID, leaf `8000_0001`, bit 8 of ECX): all but the first with 64 bits do.
#[cfg(target_arch = "x86_64")]
static KNOWS_PREFETCHW: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
    use std::arch::x86_64::__cpuid;
    const LEAF: u32 = 0x8000_0001;
    __cpuid(LEAF & 0x8000_0000).eax >= LEAF && __cpuid(LEAF).ecx & 1 << 8 != 0
});

#[inline]
#[cfg(not(target_arch = "x86_64"))]
const fn ask_to_write(_address: *const i8) {}
