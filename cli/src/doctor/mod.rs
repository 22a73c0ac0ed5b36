//! `tidegate doctor`: how file I/O will be done on this machine, and what stands in the way of io_uring.

mod buffers;
mod groups;
mod mounts;
mod text;
mod trial;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidegate::opcode::{Row, TABLE};
use tidegate::probe::{self, Support};

use self::buffers::Buffers;
use crate::exit::Exit;
use crate::explain::cause;
use crate::say;
use crate::timeouts::{TimeoutsReport, ms};

/// Tells how file I/O will be done on this machine, and what stands in the way of io_uring.
#[derive(Args, Debug)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Lists every mount of the machine instead, and asks each whether it answers.
    #[arg(long, conflicts_with = "path")]
    mounts: bool,
    /// Only asks, for another process.
    #[arg(long, hide = true, requires = "mounts")]
    ask: bool,
    /// How long a mount may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "1s", requires = "mounts", value_parser = crate::duration::parse)]
    timeout: Duration,
    /// A path on the filesystem to look at.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
}

impl Arguments {
    /// Whether another process is asked that may be left behind, or this is the one.
    pub(crate) fn asks_elsewhere(&self) -> bool {
        self.mounts
    }
}

pub(crate) fn main(arguments: &Arguments) -> Exit {
    if arguments.ask {
        return mounts::ask(arguments.timeout);
    }
    if arguments.mounts {
        return mounts::main(arguments.timeout, arguments.json);
    }
    let diagnosis = Diagnosis::make(arguments);
    if arguments.json {
        // Strings, numbers and lists: there is nothing that cannot be written.
        let json = serde_json::to_string_pretty(&diagnosis).unwrap_or_default();
        say::out(&format!("{json}\n"));
    } else {
        say::out(&diagnosis.text());
    }
    for trouble in &diagnosis.broken {
        say::err(&format!("tidegate: {trouble}"));
    }
    diagnosis.exit()
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Diagnosis {
    kernel: String,
    /// What `TIDEGATE_BACKEND` asks for, if it is set.
    requested_backend: Option<String>,
    ring: Ring,
    buffers: Buffers,
    operations: Vec<Operation>,
    limits: Limits,
    /// What operations are given; `null` where there can be no handle.
    settings: Option<Settings>,
    filesystem: Option<Filesystem>,
    #[serde(skip)]
    is_pool: bool,
    /// What keeps the library from working at all.
    broken: Vec<String>,
}

/// Whether io_uring can be used.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Ring {
    Available {
        opcodes: usize,
    },
    Unavailable {
        cause: String,
        reason: String,
        remedy: &'static str,
        errno: Option<i32>,
    },
}

/// How one operation is done.
#[derive(Debug, Serialize)]
struct Operation {
    name: &'static str,
    way: &'static str,
    opcode: Option<&'static str>,
    first_kernel: Option<String>,
    blocking: &'static str,
    reason: Option<&'static str>,
}

/// Limits of this process; `null` where there is none.
#[derive(Debug, Serialize)]
struct Limits {
    locked_memory_bytes: Option<u64>,
    open_files: Option<u64>,
    processes: Option<u64>,
}

/// What is in effect for the handle of a program that sets nothing.
#[derive(Debug, Serialize)]
struct Settings {
    timeouts: TimeoutsReport,
    warn_after_ms: u64,
    heartbeat_interval_ms: u64,
    stuck_threads_max: usize,
    /// After how many timeouts in a row a mount is asked whether it answers at all.
    breaker_timeouts: u32,
    breaker_probe_patience_ms: u64,
    breaker_probe_every_ms: u64,
}

impl Settings {
    fn of(settings: &tidegate::Settings) -> Settings {
        Settings {
            timeouts: TimeoutsReport::new(&settings.timeouts),
            warn_after_ms: ms(settings.warn_after),
            heartbeat_interval_ms: ms(settings.heartbeat_interval),
            stuck_threads_max: settings.stuck_threads_max,
            breaker_timeouts: settings.breaker.timeouts,
            breaker_probe_patience_ms: ms(settings.breaker.probe_patience),
            breaker_probe_every_ms: ms(settings.breaker.probe_every),
        }
    }
}

/// The filesystem under the path.
#[derive(Debug, Serialize)]
struct Filesystem {
    path: String,
    fs_type: String,
    mount_point: Option<String>,
    answers_at_poll: bool,
    /// Each answer that polls may give, and what keeps them from it.
    at_poll: Vec<AtPoll>,
    direct_io: Option<DirectIo>,
}

/// Whether polls give an answer from memory.
#[derive(Debug, Serialize)]
struct AtPoll {
    answer: &'static str,
    available: bool,
    reason: Option<String>,
    remedy: Option<String>,
}

impl AtPoll {
    fn of(found: &probe::PollReport) -> AtPoll {
        let obstacle = found.obstacle.as_ref();
        AtPoll {
            answer: found.answer.name(),
            available: obstacle.is_none(),
            reason: obstacle.map(ToString::to_string),
            remedy: obstacle.map(probe::Obstacle::remedy),
        }
    }
}

#[derive(Debug, Serialize)]
struct DirectIo {
    memory_align_bytes: u32,
    offset_align_bytes: u32,
}

impl Diagnosis {
    fn make(arguments: &Arguments) -> Diagnosis {
        let report = probe::report();
        let limits = report.limits();
        let tried = trial::trial();
        let mut broken = tried.troubles;
        let filesystem = match probe::filesystem(&arguments.path) {
            Ok(found) => Some(Filesystem::of(arguments, found)),
            Err(error) => {
                broken.push(format!(
                    "cannot look at {}: {}; choose another PATH",
                    arguments.path.display(),
                    cause(&error)
                ));
                None
            }
        };
        let ring = match report.ring_reason() {
            None if tried.ring_trouble.is_some() => Ring::Unavailable {
                cause: "trial".into(),
                reason: tried.ring_trouble.unwrap_or_default(),
                remedy: "raise RLIMIT_NOFILE (ulimit -n) and RLIMIT_MEMLOCK (ulimit -l)",
                errno: None,
            },
            None => Ring::Available {
                opcodes: report.opcode_count(),
            },
            Some(reason) => Ring::Unavailable {
                cause: word(reason),
                reason: reason.to_string(),
                remedy: reason.remedy(),
                errno: reason.errno(),
            },
        };
        Diagnosis {
            kernel: report.kernel().to_string(),
            requested_backend: std::env::var_os("TIDEGATE_BACKEND")
                .map(|value| value.to_string_lossy().into_owned()),
            ring,
            buffers: Buffers::new(tried.stats.as_ref().map(|stats| stats.buffer_groups)),
            operations: TABLE
                .iter()
                .map(|row| Operation::of(row, report.support(row.kind)))
                .collect(),
            limits: Limits {
                locked_memory_bytes: limits.locked_memory_bytes,
                open_files: limits.open_files,
                processes: limits.processes,
            },
            settings: tried.settings.as_ref().map(Settings::of),
            filesystem,
            is_pool: tried.is_pool,
            broken,
        }
    }

    fn exit(&self) -> Exit {
        if !self.broken.is_empty() {
            Exit::Fatal
        } else if self.is_pool || matches!(self.ring, Ring::Unavailable { .. }) {
            Exit::Degraded
        } else {
            Exit::Done
        }
    }
}

impl Operation {
    fn of(row: &'static Row, support: Support) -> Operation {
        let (way, reason) = match support {
            Support::Ring => ("ring", None),
            Support::Pool { reason } => ("pool", Some(reason)),
            Support::Unsupported { reason } => ("unsupported", Some(reason)),
            _ => ("unknown", None),
        };
        Operation {
            name: row.name,
            way,
            opcode: row.opcode.map(|opcode| opcode.name),
            first_kernel: row
                .opcode
                .map(|opcode| format!("{}.{}", opcode.first_kernel.0, opcode.first_kernel.1)),
            blocking: row.blocking,
            reason,
        }
    }
}

impl Filesystem {
    fn of(arguments: &Arguments, found: probe::Filesystem) -> Filesystem {
        Filesystem {
            path: arguments.path.to_string_lossy().into_owned(),
            fs_type: found.fs_type,
            mount_point: found
                .mount_point
                .map(|path| path.to_string_lossy().into_owned()),
            answers_at_poll: found.answers_at_poll,
            at_poll: found.at_poll.iter().map(AtPoll::of).collect(),
            direct_io: found.direct_io.map(|align| DirectIo {
                memory_align_bytes: align.memory_bytes,
                offset_align_bytes: align.offset_bytes,
            }),
        }
    }
}

/// The cause of a missing ring as one word for programs.
fn word(reason: &probe::Reason) -> String {
    let name = format!("{reason:?}");
    let name = name.split([' ', '{', '(']).next().unwrap_or_default();
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Causes are told apart by a word of their own.
    #[test]
    fn causes_have_words() {
        assert_eq!(word(&probe::Reason::KernelTooOld), "kernel_too_old");
        assert_eq!(word(&probe::Reason::Disabled { switch: 2 }), "disabled");
        assert_eq!(word(&probe::Reason::FdLimit), "fd_limit");
    }
}
