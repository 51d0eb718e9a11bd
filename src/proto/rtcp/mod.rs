//! Wire format: rtcp.
