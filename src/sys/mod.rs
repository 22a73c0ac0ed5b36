//! The kernel: the only place that names the system interfaces.
//!
//! `request` holds what an operation hands to the kernel, with its submission entry and its blocking
//! equivalent side by side; `linux` the ring and the calls that cannot sleep; the rest are blocking
//! calls that std lacks.

pub(crate) mod append;
pub(crate) mod at;
pub(crate) mod blocking;
pub(crate) mod compare_at;
pub(crate) mod copy;
pub(crate) mod copy_at;
mod copy_data;
pub(crate) mod copy_left;
mod copy_meta;
pub(crate) mod copy_temp;
pub(crate) mod dataless;
pub(crate) mod fd;
pub(crate) mod flag;
pub(crate) mod journal;
pub(crate) mod kept_time;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
pub(crate) mod listing;
pub(crate) mod mounted;
#[cfg(target_os = "macos")]
mod mounted_macos;
pub(crate) mod moving;
pub(crate) mod path;
pub(crate) mod progress;
pub(crate) mod range;
pub(crate) mod removing;
pub(crate) mod rename;
pub(crate) mod replace;
pub(crate) mod request;
pub(crate) mod share;
pub(crate) mod stat;
pub(crate) mod steps;
pub(crate) mod thread;
pub(crate) mod unchanged;
mod unnamed;
pub(crate) mod walking;
pub(crate) mod written;
pub(crate) mod xattr;
pub(crate) mod xattr_all;
pub(crate) mod xattr_open;
