//! Where a file ends, and the kernel's own position, for files whose positions only the kernel knows.

use std::io::{self, SeekFrom};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::file::SharedFile;
use super::hop::hop_on_file;
use super::meta::stat_file;
use crate::base::errno;
use crate::opcode::Kind;
use crate::sys::blocking;
use crate::sys::stat::How;

/// The error for a position that no file has, as std gives it.
pub(crate) fn invalid(file: &SharedFile) -> io::Error {
    file.tell(Kind::Seek, io::Error::from_raw_os_error(errno::EINVAL))
}

/// Moves the kernel's position of the open file, and returns it.
pub(crate) async fn in_kernel(file: &Arc<SharedFile>, to: SeekFrom) -> io::Result<u64> {
    let owned = file.clone();
    let work = move |_: &_| blocking::seek(owned.as_fd(), to);
    hop_on_file(file, Kind::Seek, work).await
}

/// Where a file ends, if its attributes say so: those of what is made up as it is read have no size. They are asked
/// rather than the kernel's position, whose lock nobody of this crate may hold while a server does not answer.
pub(crate) async fn end(file: &Arc<SharedFile>) -> io::Result<Option<u64>> {
    let stat = stat_file(file, How::default()).await?;
    let is_known = stat.is_file() && (stat.size > 0 || file.mount_ref().is_local());
    Ok(is_known.then_some(stat.size))
}
