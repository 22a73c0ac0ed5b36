//! What a rig needs of the machine, so that a test can say by name why it was skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::FsKind;
use crate::process;

/// What one rig needs.
///
/// ```no_run
/// use tidegate_rig::{FsKind, Requirements};
/// for lack in Requirements::disk(FsKind::Xfs).missing() {
///     println!("skipped: {lack}");
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Requirements {
    disk: Option<FsKind>,
}

impl Requirements {
    /// What a [`HeldDisk`](crate::HeldDisk) with this filesystem needs.
    pub fn disk(kind: FsKind) -> Requirements {
        Requirements { disk: Some(kind) }
    }

    /// What a [`StalledFuse`](crate::StalledFuse) needs.
    pub fn fuse() -> Requirements {
        Requirements { disk: None }
    }

    /// What this machine lacks, in words; empty when the rig can run.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !nix::unistd::Uid::effective().is_root() {
            missing.push("root (run the tests as root)".to_owned());
        } else if let Err(why) = process::outer_namespace() {
            missing.push(format!("a mount namespace of its own: {why}"));
        }
        if let Err(why) = fs::File::open("/dev/fuse") {
            missing.push(format!("/dev/fuse: {why}"));
        }
        missing.extend(missing_filesystem("fuse"));
        let Some(kind) = self.disk else {
            return missing;
        };
        if let Err(why) = fs::File::open("/dev/loop-control") {
            missing.push(format!("loop devices (/dev/loop-control: {why})"));
        }
        missing.extend(missing_filesystem(kind.name()));
        if find_program(&kind.mkfs_program()).is_none() {
            missing.push(format!(
                "{} (install {})",
                kind.mkfs_program(),
                kind.package()
            ));
        }
        for program in ["mount", "blockdev", "fsfreeze"] {
            if find_program(program).is_none() {
                missing.push(format!("{program} (install util-linux)"));
            }
        }
        missing
    }
}

/// Says so when the kernel does not have this filesystem, even after an attempt to load it.
fn missing_filesystem(name: &str) -> Option<String> {
    let known = || {
        let list = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        list.lines()
            .any(|line| line.split_whitespace().last() == Some(name))
    };
    if known() {
        return None;
    }
    let _ = find_program("modprobe")
        .map(|modprobe| Command::new(modprobe).arg("-q").arg(name).status());
    (!known()).then(|| format!("{name} in the kernel"))
}

/// Finds a program also where only root looks: tests often run with a user's `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(name))
        .find(|program| is_file(program))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}
