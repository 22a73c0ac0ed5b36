//! Whether there can be a data set in a directory, and the folder for it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use indicatif::HumanBytes;
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

use crate::explain::line;

/// An empty folder in `dir` for the user alone, or why there can be none.
pub(super) fn prepare(dir: &Path, needed_bytes: u64) -> Result<TempDir, String> {
    let found = fs::metadata(dir).map_err(|error| unusable(dir, &error))?;
    if !found.is_dir() {
        return Err(format!(
            "{} is not a directory; choose another DIR",
            line(dir)
        ));
    }
    let folder = tempfile::Builder::new()
        .prefix(".tidegate-bench-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(dir)
        .map_err(|error| unusable(dir, &error))?;
    let free_bytes = free_bytes(dir).map_err(|error| unusable(dir, &error))?;
    if let Some(free_bytes) = free_bytes.filter(|&free_bytes| free_bytes < needed_bytes) {
        return Err(format!(
            "{} has {} left, and {} are needed; free some, or choose a smaller --size or another DIR",
            line(dir),
            HumanBytes(free_bytes),
            HumanBytes(needed_bytes)
        ));
    }
    Ok(folder)
}

/// What this user may still fill; `None` where the filesystem does not count, as ramfs and some on FUSE.
#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the types are others on other systems"
)]
fn free_bytes(dir: &Path) -> io::Result<Option<u64>> {
    let found = statvfs(dir)?;
    let free_bytes = (found.blocks_available() as u64).saturating_mul(found.fragment_size() as u64);
    Ok((found.blocks() > 0).then_some(free_bytes))
}

/// The kind alone: the error of the folder names a path that nobody has asked for.
fn unusable(dir: &Path, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "make it first (mkdir -p), or choose another DIR",
        io::ErrorKind::PermissionDenied => {
            "run as a user who may write there, or choose another DIR"
        }
        _ => "choose another DIR",
    };
    format!(
        "cannot measure in {}: {}; {advice}",
        line(dir),
        error.kind()
    )
}
