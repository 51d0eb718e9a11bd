//! Wire format: zoom.
