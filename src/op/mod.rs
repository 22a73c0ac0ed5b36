//! Operations: what each family hands to the kernel, tries without sleeping, and makes of the result.

mod acquire;
mod ahead;
pub(crate) mod append;
pub(crate) mod around;
pub(crate) mod at;
pub(crate) mod batch;
pub(crate) mod byte_budget;
mod close;
pub(crate) mod commit;
pub(crate) mod copy;
mod durable;
pub(crate) mod elsewhere;
pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod file_xattr;
pub(crate) mod health;
pub(crate) mod hop;
mod locate;
pub(crate) mod many;
pub(crate) mod meta;
pub(crate) mod names;
mod on_mount;
pub(crate) mod open;
#[cfg(target_os = "linux")]
mod plain;
pub(crate) mod position;
mod prefetch;
pub(crate) mod provided;
pub(crate) mod range;
pub(crate) mod ranges;
mod resident;
pub(crate) mod rw;
pub(crate) mod seek;
#[cfg(target_os = "linux")]
mod seen;
#[cfg(target_os = "linux")]
mod small;
pub(crate) mod splice;
pub(crate) mod statx;
pub(crate) mod tree;
pub(crate) mod unchanged;
mod unit;
mod untold;
pub(crate) mod vectored;
mod waiting;
pub(crate) mod walk;
pub(crate) mod whole;
pub(crate) mod writeback;
pub(crate) mod xattr;

/// What the facade needs of the layers below operations.
pub(crate) use crate::sys::blocking;
pub(crate) use crate::sys::listing::{OpenEntry, OpenListing};
pub(crate) use crate::sys::path::c_path;
pub use crate::sys::range::{Advice, Space, Writeback};
pub use crate::sys::rename::RenameMode;
pub(crate) use crate::sys::stat;
