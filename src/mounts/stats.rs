//! What is seen of a mount from outside.

use std::fmt;
use std::path::PathBuf;

/// Whether a handle's operations on a mount go there.
///
/// See [`Handle::mounts`](crate::Handle::mounts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// They do.
    #[default]
    Closed,
    /// None does: the mount did not answer. It closes as soon as the mount answers the question that was
    /// sent there.
    Open,
    /// None does, and a further question has just been sent there.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        })
    }
}

/// What one handle has seen of a mount.
///
/// See [`Handle::mounts`](crate::Handle::mounts).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountStats {
    /// Where it is mounted, once that was found out.
    pub point: Option<PathBuf>,
    /// The filesystem's type, as in `ext4` or `fuse.sshfs`.
    pub fs_type: Option<String>,
    /// Whether operations go there.
    pub state: BreakerState,
    /// Operations that nobody waits for any more and that the kernel, or a blocking thread, still has.
    pub stuck: u64,
    /// Operations whose time was over, so far.
    pub timeouts: u64,
    /// Operations that were refused because the mount did not answer, so far.
    pub refused: u64,
}

impl MountStats {
    /// What was counted after the earlier ones; the rest is as it is.
    pub(crate) fn since(&self, earlier: &MountStats) -> MountStats {
        MountStats {
            timeouts: self.timeouts.saturating_sub(earlier.timeouts),
            refused: self.refused.saturating_sub(earlier.refused),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_differences_and_states_stay() {
        let earlier = MountStats {
            stuck: 5,
            timeouts: 3,
            refused: 10,
            ..MountStats::default()
        };
        let now = MountStats {
            state: BreakerState::Open,
            stuck: 2,
            timeouts: 4,
            refused: 30,
            ..MountStats::default()
        };
        let since = now.since(&earlier);
        assert_eq!((since.timeouts, since.refused), (1, 20));
        assert_eq!((since.stuck, since.state), (2, BreakerState::Open));
    }
}
