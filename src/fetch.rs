//! Memory that will be read soon, asked for while something else is worked on.

/// Bytes of a line of the cache.
const LINE: usize = 64;
/// Lines asked for of one thing at most.
const MOST: usize = 4;

/// Asks for the first lines of a thing; nothing waits for them, and nothing is read. On other processors than x86-64 it does nothing.
#[inline]
pub(crate) fn fetch<T>(thing: &T) {
    let first = std::ptr::from_ref(thing).cast::<i8>();
    for line in 0..size_of::<T>().div_ceil(LINE).min(MOST) {
        ask(first.wrapping_add(line.wrapping_mul(LINE)));
    }
}

/// Asks for the first lines of a place that will be written to, so that no other core keeps them: else each write waits until it has let
/// go, and what is read behind it with it. On other processors than x86-64 it does nothing.
#[inline]
pub(crate) fn fetch_to_write<T>(place: &mut T) {
    let first = std::ptr::from_ref(place).cast::<i8>();
    for line in 0..size_of::<T>().div_ceil(LINE).min(MOST) {
        ask_to_write(first.wrapping_add(line.wrapping_mul(LINE)));
    }
}

#[inline]
#[cfg(target_arch = "x86_64")]
fn ask_to_write(address: *const i8) {
    // SAFETY: a hint that faults for no address and changes no register; a processor that does not know it passes it over.
    #[expect(unsafe_code, reason = "what the library has for it comes to a hint for reading")]
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, preserves_flags));
    }
}

#[inline]
#[cfg(not(target_arch = "x86_64"))]
const fn ask_to_write(_address: *const i8) {}

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
