//! Exit codes, each with one meaning across all commands.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All of it was done.
    Done = 0,
    /// Nothing could be done.
    Fatal = 1,
    /// Some of it was done: what was not is on stderr and in the report.
    Partial = 2,
    /// It works, but without io_uring.
    Degraded = 3,
    /// The command line makes no sense (`EX_USAGE` of sysexits).
    Usage = 64,
    /// A signal ended it, as shells report one.
    Interrupted = 130,
}

impl Exit {
    /// The way to end that has this code.
    pub(crate) fn of(code: u8) -> Exit {
        use Exit::{Degraded, Done, Fatal, Interrupted, Partial, Usage};
        [Done, Partial, Degraded, Usage, Interrupted]
            .into_iter()
            .find(|exit| *exit as u8 == code)
            .unwrap_or(Fatal)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Says why nothing can be done.
pub(crate) fn fatal(message: &str) -> Exit {
    crate::say::err(&format!("tidegate: {message}"));
    Exit::Fatal
}

/// The table of exit codes that `--help` ends with.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  nothing was done, or the process that does the work was killed; the reason is on stderr
    2  something that was to be printed on stdout could not be written
       copy: something was not copied or not verified; each is named on stderr
       bench: an engine failed, or something could not be removed; likewise
       doctor --mounts: a mount does not answer, or is of no use; likewise
       walk: something could not be seen; likewise
    3  doctor: everything works, but without io_uring
   64  the command line is wrong
  130  interrupted; nothing unfinished was left under its final name, nothing measured

Environment:
  NO_COLOR=1                        no colours, whatever the terminal can do
  TIDEGATE_BACKEND=auto|ring|pool   forces the way that operations take
  TIDEGATE_TIMEOUTS=metadata=30s,data=60s,sync=60s
                                    how long operations may take; off for any of them: as long as they take";
