//! What may not overtake what: operations on one open file, and on names whose files were dropped.

pub(crate) mod fence;
pub(crate) mod orphans;
