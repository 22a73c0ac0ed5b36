//! Every mount of the machine, and whether it answers.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::table::Table;
use crate::limits;
use crate::sys::mounted::{self, Mounted};

/// Whether a mount answered.
///
/// See [`mounts`].
#[derive(Debug)]
#[non_exhaustive]
pub enum MountAnswer {
    /// It did, after this time.
    Answered(Duration),
    /// It did, with an error: a server that was killed, or no permission.
    Failed(io::Error),
    /// It was not asked, as no thread could be started.
    NotAsked(io::Error),
    /// Not within this time. The thread that asks it is left to itself.
    Silent(Duration),
}

/// One mount of the machine.
///
/// See [`mounts`].
#[derive(Debug)]
#[non_exhaustive]
pub struct MountReport {
    /// Where it is mounted.
    pub point: PathBuf,
    /// The filesystem's type, as in `ext4` or `fuse.sshfs`.
    pub fs_type: String,
    /// What is mounted: a device, a server, or a word.
    pub source: OsString,
    /// The options of the mount and of the filesystem.
    pub options: String,
    /// Whether it is of a type on which polls may answer from memory.
    pub is_local: bool,
    /// Whether it answered.
    pub answer: MountAnswer,
}

/// Asks every mount that a path leads to for the attributes of its root, all side by side and each on a
/// thread of its own, and waits for the answers no longer than `bound`, or so long for each 256 mounts.
/// Blocking: call it off the runtime.
///
/// The kernel does not let a process end while a thread waits for a server that has taken its question. A
/// program that is to end all the same has another process ask, as `tidegate doctor --mounts` does.
///
/// # Errors
///
/// Those of reading the table of mounts.
///
/// # Examples
///
/// ```
/// # #[cfg(any(target_os = "linux", target_os = "macos"))]
/// # fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// use tidegate::probe::{self, MountAnswer};
/// for mount in probe::mounts(Duration::from_secs(1))? {
///     if let MountAnswer::Silent(_) = mount.answer {
///         println!("{} does not answer", mount.point.display());
///     }
/// }
/// # Ok(()) }
/// # #[cfg(not(any(target_os = "linux", target_os = "macos")))]
/// # fn main() {}
/// ```
pub fn mounts(bound: Duration) -> io::Result<Vec<MountReport>> {
    let table = Table::read()?;
    let mounts: Vec<_> = table.reachable().collect();
    let mut reports = Vec::with_capacity(mounts.len());
    for some in mounts.chunks(limits::MOUNTS_ASKED_AT_ONCE) {
        reports.extend(ask_all(some, bound));
    }
    Ok(reports)
}

/// What a thread has heard, and how long that took.
type Heard = (usize, io::Result<()>, Duration);

fn ask_all(mounts: &[&Mounted], bound: Duration) -> Vec<MountReport> {
    // With room for all of them: a thread that comes back late finds room or nobody, and ends.
    let (tell, hear) = sync_channel(mounts.len());
    let asked = mounts.iter().enumerate();
    let mut answers: Vec<_> = asked
        .map(
            |(index, mount)| match spawn(index, mount.point.clone(), tell.clone()) {
                Ok(()) => MountAnswer::Silent(bound),
                Err(error) => MountAnswer::NotAsked(error),
            },
        )
        .collect();
    drop(tell);
    let end = Instant::now().checked_add(bound);
    while let Ok((index, heard, took)) = wait(&hear, end) {
        answers[index] = match heard {
            Ok(()) => MountAnswer::Answered(took),
            Err(error) => MountAnswer::Failed(error),
        };
    }
    mounts
        .iter()
        .zip(answers)
        .map(|(mount, answer)| MountReport {
            point: mount.point.clone(),
            fs_type: mount.fs_type.clone(),
            source: mount.source.clone(),
            options: mount.options.clone(),
            is_local: super::is_local_type(&mount.fs_type),
            answer,
        })
        .collect()
}

fn spawn(index: usize, point: PathBuf, tell: SyncSender<Heard>) -> io::Result<()> {
    let ask = move || {
        let began = Instant::now();
        let heard = mounted::ask(&point);
        // Nobody listens any more if it took too long.
        let _ = tell.try_send((index, heard, began.elapsed()));
    };
    std::thread::Builder::new()
        .name("tidegate-probe".into())
        .stack_size(limits::THREAD_STACK_BYTES)
        .spawn(ask)
        .map(drop)
}

/// The next answer, until the end; without one for as long as it takes.
fn wait(hear: &Receiver<Heard>, end: Option<Instant>) -> Result<Heard, RecvTimeoutError> {
    match end {
        Some(end) => hear.recv_timeout(end.saturating_duration_since(Instant::now())),
        None => hear.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}
