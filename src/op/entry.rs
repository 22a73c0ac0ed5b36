//! std's attributes of an entry of a directory that was listed.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirEntryExt;
use std::path::Path;
use std::sync::Arc;

pub(crate) use super::ahead::Ahead;
use super::hop::hop_on;
use super::meta::{Cached, look};
use crate::driver;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::blocking;
use crate::sys::stat::Stat;

/// At the poll where the path still leads to the entry and all is in memory; else in one hop, from the directory
/// that was listed, wherever that is now. One attempt, whatever it comes to.
///
/// `ahead` is the batch that it was listed with, and its place there.
pub(crate) async fn metadata(
    entry: Arc<DirEntry>,
    path: &Path,
    ahead: Option<(&Arc<Ahead>, usize)>,
) -> io::Result<Metadata> {
    let asked = {
        let driver = driver::current()?;
        let named = |error| driver.tell(Kind::Metadata, Some(path), error);
        let found = |fd: BorrowedFd<'_>, stat: Stat, mount: &Arc<Mount>| {
            // Neither the directory nor the entry was renamed meanwhile.
            let is_it = stat.ino == entry.ino();
            let metadata = is_it.then(|| blocking::metadata_of(fd).ok()).flatten()?;
            Some((metadata, mount.clone()))
        };
        match look(&driver, path.into(), false, 0, found).map_err(named)? {
            Cached::Found((metadata, mount)) => {
                driver.answered(Kind::Metadata);
                ahead.inspect(|(ahead, at)| ahead.found(&driver, &mount, *at));
                Ok(metadata)
            }
            missed => {
                let may_go_ahead = matches!(missed, Cached::Missed);
                let mount = missed.mount(&driver, path.into(), false).map_err(named)?;
                let work = move |_: &_| blocking::metadata_of_entry(&entry);
                let hop = hop_on(&driver, &mount, Kind::Metadata, path, work);
                ahead
                    .filter(|_| may_go_ahead)
                    .inspect(|(ahead, at)| ahead.missed(&driver, &mount, *at));
                Err(hop)
            }
        }
    };
    match asked {
        Ok(metadata) => {
            driver::spend().await;
            Ok(metadata)
        }
        Err(hop) => hop.await,
    }
}
