//! What the system lets a process have: fewer files at a time, and not errors.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that the process has besides those of entries in work: outputs, runtime, rings and watchers.
const DESCRIPTORS_ASIDE: usize = 24;

/// Source, destination and a listing.
const DESCRIPTORS_PER_JOB: usize = 3;

/// With descriptors for so many entries there are enough for whatever the library finds best.
const PLENTY: u16 = 64;

/// Entries in work at a time where there are not.
const FEW: u16 = 2;

/// Entries in work at a time, if that is not for the library to say: as many as are wanted, and as there are descriptors
/// for. Takes all that are allowed.
pub(super) fn jobs(wanted: Option<u16>) -> Option<u16> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let descriptors = if raised { hard } else { soft };
    // Signed on some systems, and "no limit" is their largest number.
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let most = descriptors.saturating_sub(DESCRIPTORS_ASIDE) / DESCRIPTORS_PER_JOB;
    let most = u16::try_from(most).unwrap_or(u16::MAX).max(1);
    match wanted {
        Some(wanted) => Some(wanted.min(most)),
        None if most < PLENTY => Some(most.min(FEW)),
        None => None,
    }
}
