//! Attributes, as the facade hands them out.

use crate::sys::stat::Stat;

/// The attributes of a file, as `statx(2)` gives them.
///
/// [`std::os::unix::fs::MetadataExt`] has the basic ones under std's names. What a filesystem or a system
/// does not tell is `None`, or an error for times.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::os::unix::fs::MetadataExt;
/// let found = tidegate::fs::statx("/etc/passwd").await?;
/// println!("{:?}, {} bytes, of {}", found.kind(), found.size(), found.uid());
/// println!("read {:?}, written {:?}", found.accessed()?, found.modified()?);
/// println!("changed {:?}, made {:?}", found.changed()?, found.created().ok());
/// println!("on mount {:?}, subvolume {:?}", found.mount_id(), found.subvolume());
/// println!("never torn: {:?}", found.atomic_write_bytes());
/// let special = [found.is_immutable(), found.is_append_only(), found.is_compressed()];
/// println!("{special:?}, {:?}, {:?}", found.is_encrypted(), found.is_verity());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Statx(pub(crate) Stat);

impl From<Stat> for Statx {
    fn from(stat: Stat) -> Statx {
        Statx(stat)
    }
}
