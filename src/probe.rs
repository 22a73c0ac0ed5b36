//! What can be had on this machine: whether a ring, if not why, and which operations it does.
//!
//! The ring is tried, not guessed from the kernel's version: a no-op goes through it, and the kernel
//! is asked for its opcodes, once per process.

mod at_poll;
mod features;

use std::io;
use std::path::{Path, PathBuf};

use crate::base::global::Kept;
use crate::base::limit;
pub use crate::error::Reason;
pub use crate::mounts::{MountAnswer, MountReport, Obstacle, PollAnswer, mounts};
use crate::opcode::Kind;
pub use at_poll::PollReport;
pub use features::{Feature, FeatureReport, features};

/// How an operation is done on this machine.
///
/// See [`Report::support`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// On a blocking thread, and why not through the ring.
    Pool {
        /// Why.
        reason: &'static str,
    },
    /// Through the ring.
    Ring,
    /// Not at all, and why.
    Unsupported {
        /// Why.
        reason: &'static str,
    },
}

/// The limits that matter here; `None` means that there is none.
///
/// See [`Report::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Locked memory, in bytes (RLIMIT_MEMLOCK).
    pub locked_memory_bytes: Option<u64>,
    /// Open files (RLIMIT_NOFILE).
    pub open_files: Option<u64>,
    /// Threads of this user (RLIMIT_NPROC).
    pub processes: Option<u64>,
}

/// What was found out.
///
/// See [`report`].
#[derive(Clone, Debug)]
pub struct Report {
    kernel: String,
    reason: Option<Reason>,
    opcodes: Vec<bool>,
}

impl Report {
    /// The kernel's release.
    ///
    /// ```
    /// let report = tidegate::probe::report();
    /// println!("{}: {} opcodes", report.kernel(), report.opcode_count());
    /// ```
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Why there is no ring, or `None` if there is one.
    ///
    /// See [`report`].
    pub fn ring_reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// How many opcodes the kernel has.
    ///
    /// See [`Report::kernel`].
    pub fn opcode_count(&self) -> usize {
        self.opcodes.iter().filter(|&&present| present).count()
    }

    /// How an operation is done here.
    ///
    /// ```
    /// use tidegate::{opcode::Kind, probe::{self, Support}};
    /// let listing = probe::report().support(Kind::ReadDir);
    /// assert!(matches!(listing, Support::Pool { .. }), "the kernel has no opcode for it");
    /// ```
    pub fn support(&self, kind: Kind) -> Support {
        if cfg!(not(any(target_os = "linux", target_os = "macos")))
            && matches!(
                kind,
                Kind::GetXattr | Kind::ListXattrs | Kind::RemoveXattr | Kind::SetXattr
            )
        {
            return Support::Unsupported {
                reason: "extended attributes are not implemented for this system",
            };
        }
        match kind.row().opcode {
            None => Support::Pool {
                reason: "the kernel has no opcode for it",
            },
            Some(_) if self.reason.is_some() => Support::Pool {
                reason: "there is no ring",
            },
            Some(_) if self.has_opcode(kind) => Support::Ring,
            Some(_) => Support::Pool {
                reason: "this kernel lacks the opcode",
            },
        }
    }

    pub(crate) fn has_opcode(&self, kind: Kind) -> bool {
        kind.row()
            .opcode
            .is_some_and(|opcode| self.has_code(opcode.code))
    }

    /// Whether the kernel has the opcode of that number.
    pub(crate) fn has_code(&self, code: u8) -> bool {
        self.opcodes.get(usize::from(code)) == Some(&true)
    }

    /// The limits of this process, as they are now.
    ///
    /// ```
    /// let limits = tidegate::probe::report().limits();
    /// assert_ne!(limits.open_files, Some(0));
    /// ```
    pub fn limits(&self) -> Limits {
        Limits {
            locked_memory_bytes: limit::locked_memory(),
            open_files: limit::open_files(),
            processes: limit::processes(),
        }
    }
}

/// What this machine allows; found out on the first call, which takes about a millisecond.
///
/// ```
/// match tidegate::probe::report().ring_reason() {
///     None => println!("io_uring is there"),
///     Some(reason) => println!("no io_uring: {reason}; {}", reason.remedy()),
/// }
/// ```
pub fn report() -> &'static Report {
    static REPORT: Kept<Report> = Kept::new();
    REPORT.get_or_make(find_out)
}

#[cfg(target_os = "linux")]
fn find_out() -> Report {
    use crate::sys::linux::probe;
    let kernel = probe::release();
    match probe::try_ring() {
        Ok(opcodes) => Report {
            kernel,
            reason: None,
            opcodes: noted(without_masked(opcodes)),
        },
        Err(error) => {
            let reason = crate::error::reason_of(&error);
            crate::events::no_ring(&reason, reason.remedy());
            Report {
                kernel,
                reason: Some(reason),
                opcodes: Vec::new(),
            }
        }
    }
}

/// Counts the opcodes as missing whose numbers `TIDEGATE_WITHOUT_OPCODES` lists, with commas between them, for
/// tests of what older kernels lack.
#[cfg(all(feature = "testing", target_os = "linux"))]
fn without_masked(mut opcodes: Vec<bool>) -> Vec<bool> {
    let listed = std::env::var("TIDEGATE_WITHOUT_OPCODES").unwrap_or_default();
    let codes = listed
        .split(',')
        .filter_map(|code| code.trim().parse().ok());
    for code in codes.collect::<Vec<usize>>() {
        if let Some(present) = opcodes.get_mut(code) {
            *present = false;
        }
    }
    opcodes
}

#[cfg(all(not(feature = "testing"), target_os = "linux"))]
fn without_masked(opcodes: Vec<bool>) -> Vec<bool> {
    opcodes
}

/// For what makes entries, before the first ring is made.
#[cfg(target_os = "linux")]
fn noted(opcodes: Vec<bool>) -> Vec<bool> {
    crate::sys::linux::known_codes::note(&opcodes);
    opcodes
}

/// Whether `TIDEGATE_BACKEND` says that this process makes no ring.
pub(crate) fn is_ring_forbidden() -> bool {
    let value = std::env::var_os("TIDEGATE_BACKEND").unwrap_or_default();
    value.to_string_lossy().trim().eq_ignore_ascii_case("pool")
}

/// Whether `TIDEGATE_BACKEND` asks for one backend, so that polls answer nothing.
#[cfg(target_os = "linux")]
fn is_pinned() -> bool {
    let value = std::env::var_os("TIDEGATE_BACKEND").unwrap_or_default();
    let value = value.to_string_lossy().trim().to_ascii_lowercase();
    !matches!(value.as_str(), "" | "auto")
}

#[cfg(not(target_os = "linux"))]
fn find_out() -> Report {
    Report {
        kernel: std::env::consts::OS.into(),
        reason: Some(Reason::Platform),
        opcodes: Vec::new(),
    }
}

/// The alignment that direct I/O needs, in bytes.
///
/// See [`filesystem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectAlign {
    /// Of the buffer's address.
    pub memory_bytes: u32,
    /// Of offset and length.
    pub offset_bytes: u32,
}

/// What is known of the filesystem under a path.
///
/// See [`filesystem`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Filesystem {
    /// The type, such as `ext4`; `unknown` where neither the kernel nor the table of mounts tells.
    pub fs_type: String,
    /// Where it is mounted, where that is told.
    pub mount_point: Option<PathBuf>,
    /// Whether polls may answer from memory here whatever they can: no entry of `at_poll` has an obstacle.
    pub answers_at_poll: bool,
    /// What polls may answer from memory here, and what keeps them from the rest.
    pub at_poll: Vec<PollReport>,
    /// The alignment for direct I/O on the path, where the filesystem tells.
    pub direct_io: Option<DirectAlign>,
}

/// Describes the filesystem under a path. Blocking: call it off the runtime.
///
/// # Errors
///
/// Those of opening the path.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let filesystem = tidegate::probe::filesystem(std::path::Path::new("/"))?;
/// println!("{}: {:?}", filesystem.fs_type, filesystem.direct_io);
/// for found in filesystem.at_poll {
///     match found.obstacle {
///         None => println!("{} at the first poll", found.answer.name()),
///         Some(why) => println!("no {}: {why}; {}", found.answer.name(), why.remedy()),
///     }
/// }
/// # Ok(()) }
/// ```
pub fn filesystem(path: &Path) -> io::Result<Filesystem> {
    let errors = crate::error::Errors::of_process();
    let named = |error| errors.tell(Kind::Metadata, Some(path), error);
    let c_path = crate::sys::path::c_path(path).map_err(named)?;
    let file = crate::sys::blocking::open_path(path).map_err(named)?;
    let file = std::os::fd::AsFd::as_fd(&file);
    // As a poll would ask; where that is not allowed, as threads do.
    let asked = crate::mounts::of_fd(file);
    let stat = match &asked {
        Ok((stat, _)) if stat.mount_id != 0 || stat.dev != 0 => stat.clone(),
        _ => crate::sys::blocking::stat_fd(file).map_err(named)?,
    };
    let mount = crate::mounts::learn(&stat);
    #[cfg(target_os = "linux")]
    let at_poll = at_poll::on(&mount, asked.as_ref().map(|_| ()));
    #[cfg(not(target_os = "linux"))]
    let at_poll = at_poll::nothing();
    Ok(Filesystem {
        fs_type: mount.fs_type().unwrap_or("unknown").to_owned(),
        mount_point: mount.point(),
        answers_at_poll: at_poll.iter().all(|found| found.obstacle.is_none()),
        at_poll,
        direct_io: direct_io(&c_path),
    })
}

#[cfg(target_os = "linux")]
fn direct_io(path: &std::ffi::CStr) -> Option<DirectAlign> {
    let told = crate::sys::linux::statx::direct_align(path).ok()??;
    Some(DirectAlign {
        memory_bytes: told.memory,
        offset_bytes: told.offset,
    })
}

#[cfg(not(target_os = "linux"))]
fn direct_io(_path: &std::ffi::CStr) -> Option<DirectAlign> {
    None
}
