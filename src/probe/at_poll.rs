//! What polls answer from memory for the files of a mount, and what keeps them from it.

use crate::mounts::{Obstacle, PollAnswer};

/// Whether polls give an answer.
///
/// See [`filesystem`](super::filesystem).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollReport {
    /// Which answer.
    pub answer: PollAnswer,
    /// What keeps them from it, or `None` if they give it.
    pub obstacle: Option<Obstacle>,
}

/// Whether polls answer on a mount, and the attributes of a file there as a poll would ask for them.
#[cfg(target_os = "linux")]
pub(super) fn on(
    mount: &crate::mounts::Mount,
    asked: Result<(), &std::io::Error>,
) -> Vec<PollReport> {
    let found = |&answer| PollReport {
        answer,
        obstacle: obstacle(mount, asked, answer),
    };
    PollAnswer::ALL.iter().map(found).collect()
}

/// Polls answer nothing.
#[cfg(not(target_os = "linux"))]
pub(super) fn nothing() -> Vec<PollReport> {
    let report = |&answer| PollReport {
        answer,
        obstacle: Some(Obstacle::Platform),
    };
    PollAnswer::ALL.iter().map(report).collect()
}

/// What keeps polls from this answer: first the calls that it takes, then what they look at.
#[cfg(target_os = "linux")]
fn obstacle(
    mount: &crate::mounts::Mount,
    asked: Result<(), &std::io::Error>,
    answer: PollAnswer,
) -> Option<Obstacle> {
    use crate::sys::linux::calls::Call;
    if super::is_pinned() {
        return Some(Obstacle::Pinned);
    }
    let needed: &[Call] = match answer {
        PollAnswer::Attributes | PollAnswer::Opens => {
            &[Call::Openat2, Call::Statx, Call::Statmount]
        }
        PollAnswer::Reads => &[
            Call::Statx,
            Call::Statmount,
            Call::Fadvise,
            Call::Cachestat,
            Call::Preadv2,
        ],
    };
    let refused = |&call: &Call| call.refusal().map(|errno| missing(call, errno));
    if let Some(obstacle) = needed.iter().find_map(refused) {
        return Some(obstacle);
    }
    if let Err(error) = asked {
        // With such mounts about, each file's mount is asked for by this call before its attributes are.
        let errno = error.raw_os_error().unwrap_or_default();
        return Some(missing(Call::NameToHandleAt, errno));
    }
    mount.obstacle(answer)
}

#[cfg(target_os = "linux")]
fn missing(call: crate::sys::linux::calls::Call, errno: i32) -> Obstacle {
    Obstacle::Call {
        name: call.name(),
        errno,
        first_kernel: call.first_kernel(),
        // Without procfs it is not known; a kernel that lacks a call has but one error for that.
        filtered: crate::base::status::is_filtered()
            || errno == crate::base::errno::EPERM
            || errno == crate::base::errno::EACCES,
    }
}
