//! The loop device under a mounted disk, which the kernel frees by itself with its last user.
//!
//! `mount -o loop` makes it, marked for that; there is no descriptor to configure and so no unsafe code.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Context;
use crate::mounts::run;
use crate::requirements::find_program;

/// An open loop device. It goes when this is dropped and nothing on it is mounted.
#[derive(Debug)]
pub(crate) struct LoopDevice {
    path: PathBuf,
    // Keeps the device while its filesystem is unmounted for a moment.
    _device: File,
}

impl LoopDevice {
    /// The device that is mounted at `mount_dir`.
    pub(crate) fn mounted_at(mount_dir: &Path) -> io::Result<LoopDevice> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
        let mount_dir = mount_dir.to_string_lossy();
        let source = |line: &str| {
            let (source, rest) = line.split_once(' ')?;
            let (at, _) = rest.split_once(' ')?;
            (at == mount_dir).then(|| PathBuf::from(source))
        };
        let missing = || {
            let what = format!("{mount_dir}: not in the list of mounts");
            io::Error::new(io::ErrorKind::NotFound, what)
        };
        let path = mounts.lines().rev().find_map(source).ok_or_else(missing)?;
        let device = File::open(&path).context(format_args!("open {}", path.display()))?;
        Ok(LoopDevice {
            path,
            _device: device,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Drops what the kernel has cached of this device, and of no other.
    pub(crate) fn drop_cache(&self) -> io::Result<()> {
        let program = find_program("blockdev").unwrap_or_else(|| "blockdev".into());
        run(Command::new(program).arg("--flushbufs").arg(&self.path))
    }
}
