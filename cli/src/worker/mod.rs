//! A process of its own does what touches storage, and the one that the user started reports.
//!
//! The kernel does not let a process end while one of its threads waits for a server that has taken the
//! question. The reporting process asks no server anything: it ends when it has said what there is to say,
//! and names the working process where the kernel keeps that one.

mod link;
mod message;
mod output;
mod process;
mod supervise;

pub(crate) use link::{Link, Orders};
pub(crate) use message::{Bar, Shows};

use crate::exit::Exit;

/// Does the work in another process and reports it; in that other process, does it.
pub(crate) fn run(shows: Shows, work: impl FnOnce(&Link) -> Exit) -> Exit {
    let Some(shows) = process::is_worker() else {
        return supervise::supervise(shows);
    };
    let link = match Link::open(shows) {
        Ok(link) => link,
        Err(error) => {
            crate::say::err(&format!(
                "tidegate: {} is set for processes that tidegate starts itself; unset it ({error})",
                process::ROLE
            ));
            return Exit::Fatal;
        }
    };
    let exit = work(&link);
    link.end(exit);
    exit
}
