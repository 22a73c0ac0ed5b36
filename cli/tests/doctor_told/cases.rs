//! The ways in which a process may be restricted.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::libc;
use nix::mount::{MntFlags, MsFlags};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::seccomp::Filter;

/// System calls that this library makes, or that the C library or std make for it, and that have another way: those
/// of io_uring, those that polls take, and those that spare something.
const CALLS: [(&str, libc::c_long); 33] = [
    ("cachestat", 451),
    ("clone3", libc::SYS_clone3),
    ("copy_file_range", libc::SYS_copy_file_range),
    ("epoll_create1", libc::SYS_epoll_create1),
    ("eventfd2", libc::SYS_eventfd2),
    ("fadvise64", libc::SYS_fadvise64),
    ("fallocate", libc::SYS_fallocate),
    ("fstatfs", libc::SYS_fstatfs),
    ("getrandom", libc::SYS_getrandom),
    ("getsockopt", libc::SYS_getsockopt),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("ioctl", libc::SYS_ioctl),
    ("madvise", libc::SYS_madvise),
    ("membarrier", libc::SYS_membarrier),
    ("memfd_create", libc::SYS_memfd_create),
    ("mlock", libc::SYS_mlock),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("openat2", libc::SYS_openat2),
    ("pipe2", libc::SYS_pipe2),
    ("prctl", libc::SYS_prctl),
    ("ppoll", libc::SYS_ppoll),
    ("preadv2", libc::SYS_preadv2),
    ("prlimit64", libc::SYS_prlimit64),
    ("renameat2", libc::SYS_renameat2),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
    ("splice", libc::SYS_splice),
    ("statmount", 457),
    ("statx", libc::SYS_statx),
    ("sync_file_range", libc::SYS_sync_file_range),
    ("tee", libc::SYS_tee),
    ("timerfd_create", libc::SYS_timerfd_create),
];

/// What filters answer with, by what profiles in use say.
const ERRORS: [(&str, i32); 3] = [
    ("ENOSYS", libc::ENOSYS),
    ("EPERM", libc::EPERM),
    ("EACCES", libc::EACCES),
];

/// A directory that is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gone {
    Proc,
    Sys,
}

/// One way.
#[derive(Clone, Debug)]
pub(crate) enum Case {
    Filtered {
        call: &'static str,
        number: libc::c_long,
        error: &'static str,
        errno: i32,
    },
    Limited {
        name: &'static str,
        resource: Resource,
        limit: u64,
    },
    Ordinary,
    Pinned(&'static str),
    ReadOnlyTmp,
    Unmounted(Gone),
    Unrestricted,
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![
        Case::Unrestricted,
        Case::Ordinary,
        Case::ReadOnlyTmp,
        Case::Unmounted(Gone::Proc),
        Case::Unmounted(Gone::Sys),
        Case::Pinned("pool"),
        Case::Pinned("ring"),
    ];
    for (call, number) in CALLS {
        cases.extend(ERRORS.map(|(error, errno)| Case::Filtered {
            call,
            number,
            error,
            errno,
        }));
    }
    let limited = |name, resource, limits: &[u64]| {
        let limited = move |&limit: &u64| Case::Limited {
            name,
            resource,
            limit,
        };
        limits.iter().map(limited).collect::<Vec<_>>()
    };
    let threads = (1..=12).chain([16, 24, 64]).collect::<Vec<_>>();
    let files = (4..=24).chain([32, 64]).collect::<Vec<_>>();
    cases.extend(limited("threads", Resource::RLIMIT_NPROC, &threads));
    cases.extend(limited("files", Resource::RLIMIT_NOFILE, &files));
    cases.extend(limited(
        "locked",
        Resource::RLIMIT_MEMLOCK,
        &[0, 4096, 65_536],
    ));
    let memory = [16_u64, 20, 24, 28, 32, 48, 64, 96, 128, 1024].map(|mib| mib << 20);
    cases.extend(limited("memory", Resource::RLIMIT_AS, &memory));
    cases
}

impl Case {
    pub(crate) fn name(&self) -> String {
        match self {
            Case::Filtered { call, error, .. } => format!("{call}_refused_with_{error}"),
            Case::Limited { name, limit, .. } => format!("no_more_than_{limit}_of_{name}"),
            Case::Ordinary => "somebody_without_privileges".into(),
            Case::Pinned(backend) => format!("pinned_to_the_{backend}"),
            Case::ReadOnlyTmp => "temporary_files_cannot_be_made".into(),
            Case::Unmounted(Gone::Proc) => "without_proc".into(),
            Case::Unmounted(Gone::Sys) => "without_sys".into(),
            Case::Unrestricted => "nothing_refused".into(),
        }
    }

    pub(crate) fn skipped(&self) -> Option<&'static str> {
        let takes_root = matches!(
            self,
            Case::Limited { .. } | Case::Ordinary | Case::ReadOnlyTmp | Case::Unmounted(_)
        );
        (takes_root && !geteuid().is_root()).then_some("it takes root")
    }

    /// What has to be done by who starts the child.
    pub(crate) fn prepare(&self, command: &mut Command, user: u32, dir: &Path) {
        match *self {
            Case::Limited { .. } | Case::Ordinary => {
                std::os::unix::fs::chown(dir, Some(user), Some(user)).unwrap();
                command.uid(user).gid(user);
            }
            Case::Pinned(backend) => {
                command.env("TIDEGATE_BACKEND", backend);
            }
            Case::ReadOnlyTmp => {
                command.env("TMPDIR", "/proc");
            }
            Case::Filtered { .. } | Case::Unmounted(_) | Case::Unrestricted => {}
        }
    }

    /// What the child does to itself.
    pub(crate) fn restrict(&self) {
        match *self {
            Case::Filtered { number, errno, .. } => {
                Filter::refuse(&[number as u32], errno).install();
            }
            Case::Limited {
                resource, limit, ..
            } => setrlimit(resource, limit, limit).unwrap(),
            Case::Unmounted(gone) => unmount(gone).unwrap(),
            _ => {}
        }
    }

    /// Whether doctor refuses to call it working because there is hardly any room left, and says of what.
    pub(crate) fn is_near(&self, errors: &str) -> bool {
        match self {
            Case::Limited { resource, .. } => {
                errors.contains(&format!("{resource:?}")) || self.ended_by_memory(errors)
            }
            _ => false,
        }
    }

    pub(crate) fn is_of_memory(&self) -> bool {
        matches!(
            self,
            Case::Limited {
                resource: Resource::RLIMIT_AS,
                ..
            }
        )
    }

    /// Whether so little memory is allowed that an allocation ended the process, which says how many bytes it asked for:
    /// no program hands that on as an error.
    pub(crate) fn ended_by_memory(&self, errors: &str) -> bool {
        self.is_of_memory() && errors.contains("memory allocation of")
    }

    /// Whether the cause that is told is the one there is.
    pub(crate) fn names(&self, told: &Value) -> Result<(), String> {
        let text = format!("{} {}", told["reason"], told["remedy"]);
        let words: &[&str] = match self {
            Case::Filtered { call, .. } => &[call, "seccomp"],
            Case::Limited { .. } => &["RLIMIT"],
            Case::Pinned(_) => &["TIDEGATE_BACKEND"],
            Case::Unmounted(Gone::Proc) => &["/proc"],
            Case::Unmounted(Gone::Sys) => &["/sys"],
            Case::Ordinary | Case::ReadOnlyTmp | Case::Unrestricted => &[],
        };
        match words.iter().all(|word| text.contains(word)) {
            true => Ok(()),
            false => Err(format!("no cause of {words:?} in {text}")),
        }
    }
}

/// For the calling thread, and for what it starts.
fn unmount(gone: Gone) -> nix::Result<()> {
    let point = match gone {
        Gone::Proc => "/proc",
        Gone::Sys => "/sys",
    };
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    nix::mount::umount2(point, MntFlags::MNT_DETACH)
}
