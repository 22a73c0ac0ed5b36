//! Operations: what each family hands to the kernel, tries without sleeping, and makes of the result.

pub(crate) mod copy;
pub(crate) mod file;
pub(crate) mod hop;
mod locate;
pub(crate) mod many;
pub(crate) mod meta;
pub(crate) mod names;
pub(crate) mod open;
mod prefetch;
mod resident;
pub(crate) mod rw;
pub(crate) mod seek;
mod unit;
pub(crate) mod whole;
pub(crate) mod xattr;

/// What the facade needs of the layers below operations.
pub(crate) use crate::sys::blocking;
pub(crate) use crate::sys::path::c_path;
pub(crate) use crate::sys::stat;
