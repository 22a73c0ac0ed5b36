//! What the system lets a process have: fewer files at a time, and not errors.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that the process has besides those of entries in work: outputs, runtime, rings and watchers.
const DESCRIPTORS_ASIDE: u64 = 24;

/// Source, destination and a listing.
const DESCRIPTORS_PER_JOB: u64 = 3;

/// How often something is tried again that others have to let go of something for.
const TRIES_MAX: u32 = 200;

const TRY_EVERY: Duration = Duration::from_millis(25);

/// Entries in work at a time, of those that are wanted: as many as there are descriptors for. Takes all that are allowed.
pub(super) fn jobs(wanted: u16) -> u16 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let descriptors = if raised { hard } else { soft };
    let most = descriptors.saturating_sub(DESCRIPTORS_ASIDE) / DESCRIPTORS_PER_JOB;
    wanted.min(u16::try_from(most).unwrap_or(u16::MAX)).max(1)
}

/// Whether there is too little of something that others who are at work let go of again: descriptors, or threads.
pub(super) fn is_short(error: &io::Error) -> bool {
    let short = [Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN].map(|errno| errno as i32);
    tidegate::raw_os_error(error).is_some_and(|errno| short.contains(&errno))
}

/// Tries again while others have what it needs.
pub(super) async fn patiently<T, F>(mut step: impl FnMut() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut tries = 1;
    loop {
        match step().await {
            Err(error) if is_short(&error) && tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(TRY_EVERY).await;
            }
            result => return result,
        }
    }
}
