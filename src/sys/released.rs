//! Stand-in.
pub(crate) fn note() {}
