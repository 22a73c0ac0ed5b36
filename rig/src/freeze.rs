//! A filesystem that takes no writes for a while, as for a snapshot.
//!
//! The thaw comes from a process of its own: a test that was killed while one of its threads waits for the
//! filesystem could not end before.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::Context;
use crate::mounts::run;
use crate::requirements::find_program;

/// Marks a process that is to freeze, wait, and thaw.
pub(crate) const FREEZER_ENV: &str = "TIDEGATE_RIG_FREEZER";
/// How long it may take to begin, and to end.
const TURN_MAX: Duration = Duration::from_secs(10);

/// A frozen filesystem. Dropping it thaws.
#[derive(Debug)]
#[must_use = "dropping it thaws at once"]
pub struct FreezeGuard {
    child: Child,
    lifeline: UnixStream,
}

impl FreezeGuard {
    pub(crate) fn freeze(mount_dir: &Path, max_hold: Duration) -> io::Result<FreezeGuard> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TURN_MAX))?;
        let child = Command::new("/proc/self/exe")
            .env(FREEZER_ENV, mount_dir)
            .arg(max_hold.as_millis().to_string())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .context("start the process that freezes")?;
        let guard = FreezeGuard {
            child,
            lifeline: ours,
        };
        let mut line = String::new();
        BufReader::new(&guard.lifeline)
            .read_line(&mut line)
            .context("no answer from the process that freezes")?;
        if line == "frozen\n" {
            return Ok(guard);
        }
        let what = format!("freeze {}: {}", mount_dir.display(), line.trim_end());
        Err(io::Error::new(io::ErrorKind::Unsupported, what))
    }
}

impl Drop for FreezeGuard {
    fn drop(&mut self) {
        let _ = self.lifeline.shutdown(std::net::Shutdown::Write);
        // Its end is the end of its side.
        let _ = (&self.lifeline).read_to_end(&mut Vec::new());
        let _ = self.child.wait();
    }
}

/// The process: freezes, and thaws when its parent lets go or when the time is over.
pub(crate) fn main(mount_dir: &OsStr) -> ! {
    let result = freeze_for_a_while(mount_dir);
    std::process::exit(i32::from(result.is_err()))
}

fn freeze_for_a_while(mount_dir: &OsStr) -> io::Result<()> {
    let mut lifeline = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let max_hold = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let max_hold = Duration::from_millis(max_hold.unwrap_or(1));
    let program = find_program("fsfreeze").unwrap_or_else(|| "fsfreeze".into());
    let fsfreeze = |what: &str| run(Command::new(&program).arg(what).arg(mount_dir));
    if let Err(error) = fsfreeze("--freeze") {
        writeln!(lifeline, "{error}")?;
        return Err(error);
    }
    // Whatever fails from here on, it thaws.
    let _ = writeln!(lifeline, "frozen");
    let _ = lifeline.set_read_timeout(Some(max_hold));
    let _ = lifeline.read(&mut [0]);
    fsfreeze("--unfreeze")
}
