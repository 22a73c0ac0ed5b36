//! What the process has used.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What all threads of the process have used so far, the kernel's workers for its rings included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, in user and in kernel mode.
    pub cpu: Duration,
    /// Context switches, voluntary or not.
    pub switches: u64,
}

impl Usage {
    /// Up to now.
    pub fn now() -> Usage {
        // It fails only for arguments that the kernel does not know.
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
            return Usage::default();
        };
        let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        let switches = usage.voluntary_context_switches() + usage.involuntary_context_switches();
        Usage {
            cpu: Duration::from_micros(cpu_us.unsigned_abs()),
            switches: switches.unsigned_abs(),
        }
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}
