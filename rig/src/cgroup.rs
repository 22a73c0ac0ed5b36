//! Control groups of the first version, for limits that have no other door: how fast a disk is, how many
//! threads there are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Context;

const ROOT: &str = "/sys/fs/cgroup";

/// A group with this process in it. Dropping it puts the process back where it was.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    before: PathBuf,
}

impl Cgroup {
    /// Why this machine has no such group for this process; `None` if it has.
    pub fn missing(controller: &str) -> Option<String> {
        let root = Path::new(ROOT).join(controller);
        match fs::metadata(root.join("cgroup.procs")) {
            Err(error) => Some(format!(
                "the cgroup controller {controller} ({}: {error})",
                root.display()
            )),
            Ok(_) if !nix::unistd::Uid::effective().is_root() => Some("root".to_owned()),
            Ok(_) => None,
        }
    }

    /// Makes a group below the one of this process.
    ///
    /// # Errors
    /// Those of the control filesystem.
    pub fn new(controller: &str) -> io::Result<Cgroup> {
        let list = fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
        let below = |line: &str| {
            let (_, rest) = line.split_once(':')?;
            let (names, path) = rest.split_once(':')?;
            let ours = names.split(',').any(|name| name == controller);
            ours.then(|| path.trim_start_matches('/').to_owned())
        };
        let below = list.lines().find_map(below).unwrap_or_default();
        let before = Path::new(ROOT).join(controller).join(below);
        let dir = before.join(format!("tidegate-rig.{}", std::process::id()));
        fs::create_dir(&dir).context(format_args!("create {}", dir.display()))?;
        Ok(Cgroup { dir, before })
    }

    /// Sets one of its limits.
    ///
    /// # Errors
    /// Those of the control filesystem.
    pub fn set(&self, file: &str, value: &str) -> io::Result<()> {
        let path = self.dir.join(file);
        fs::write(&path, value).context(format_args!("write {value:?} to {}", path.display()))
    }

    /// What one of its files says.
    ///
    /// # Errors
    /// Those of the control filesystem.
    pub fn get(&self, file: &str) -> io::Result<String> {
        let path = self.dir.join(file);
        fs::read_to_string(&path).context(format_args!("read {}", path.display()))
    }

    /// Moves this process, with all its threads, into the group.
    ///
    /// # Errors
    /// Those of the control filesystem.
    pub fn enter(&self) -> io::Result<()> {
        move_to(&self.dir, std::process::id())
    }

    /// Moves another process into the group. It has to end, or leave, before this is dropped.
    ///
    /// # Errors
    /// Those of the control filesystem.
    pub fn take(&self, process: u32) -> io::Result<()> {
        move_to(&self.dir, process)
    }
}

fn move_to(dir: &Path, process: u32) -> io::Result<()> {
    let path = dir.join("cgroup.procs");
    fs::write(&path, process.to_string()).context(format_args!("write to {}", path.display()))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = move_to(&self.before, std::process::id());
        let _ = fs::remove_dir(&self.dir);
    }
}
