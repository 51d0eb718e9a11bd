//! Which protocol a datagram could be.
