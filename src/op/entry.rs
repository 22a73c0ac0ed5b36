//! std's attributes of an entry of a directory that was listed.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::Path;
use std::sync::Arc;

use super::hop::hop_on;
use super::locate::locate;
use super::meta::{Cached, look};
use crate::driver;
use crate::opcode::Kind;
use crate::sys::blocking;
use crate::sys::path::c_path;

/// At the poll where the path still leads to the entry and all is in memory; else in one hop, from the directory
/// that was listed, wherever that is now. One attempt, whatever it comes to.
pub(crate) async fn metadata(entry: Arc<DirEntry>, path: &Path) -> io::Result<Metadata> {
    let asked = {
        let driver = driver::current()?;
        let named = |error| driver.tell(Kind::Metadata, Some(path), error);
        let looked = look(&driver, path.into(), false, 0, |fd, stat, _| {
            // Neither the directory nor the entry was renamed meanwhile.
            let is_it = stat.ino == entry.ino();
            is_it.then(|| blocking::metadata_of(fd).ok()).flatten()
        });
        let mount = match looked.map_err(named)? {
            Cached::Found(metadata) => {
                driver.answered(Kind::Metadata);
                Ok(metadata)
            }
            Cached::Error(_) | Cached::Unknown(None) => {
                let path = c_path(path).map_err(named)?;
                Err(locate(&driver, &path, false))
            }
            Cached::Unknown(Some(mount)) => Err(mount),
        };
        let work = move |_: &_| blocking::metadata_of_entry(&entry);
        mount.map_err(|mount| hop_on(&driver, &mount, Kind::Metadata, path, work))
    };
    match asked {
        Ok(metadata) => {
            driver::spend().await;
            Ok(metadata)
        }
        Err(hop) => hop.await,
    }
}
