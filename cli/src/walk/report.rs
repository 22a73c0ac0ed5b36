//! What `tidegate walk` says: a table for people, JSON for programs.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use serde_json::{Value, json};
use tidegate::fs::{WalkEntry, WalkError};

use super::Arguments;
use super::totals::{Totals, name_of};
use crate::explain::{cause, line};
use crate::timeouts::ms;

/// Errors that the table names again; all were named when they were met.
const ERRORS_SHOWN: usize = 10;

/// A path in JSON: text where it is text, and its bytes besides where it is none.
fn path_in(value: &mut Value, path: &Path) {
    value["path"] = path.to_string_lossy().into();
    if path.to_str().is_none() {
        value["path_bytes"] = path.as_os_str().as_bytes().into();
    }
}

pub(super) fn entry(entry: &WalkEntry, xattrs: Option<&[OsString]>) -> Value {
    let mut value = json!({
        "type": name_of(entry.kind()),
        "depth": entry.depth(),
        "ino": entry.ino(),
    });
    path_in(&mut value, &entry.path());
    if let Some(metadata) = entry.metadata() {
        value["bytes"] = metadata.size().into();
        value["disk_bytes"] = (metadata.blocks() * 512).into();
        value["mode"] = metadata.mode().into();
        value["uid"] = metadata.uid().into();
        value["gid"] = metadata.gid().into();
        value["links"] = metadata.nlink().into();
        value["modified_s"] = metadata.mtime().into();
        value["modified_ns"] = metadata.mtime_nsec().into();
    }
    if entry.is_mount_point() {
        value["mount_point"] = true.into();
    }
    if let Some(names) = xattrs {
        let texts = names.iter().map(|name| name.to_string_lossy().into_owned());
        value["xattrs"] = texts.collect::<Vec<_>>().into();
        if names.iter().any(|name| name.to_str().is_none()) {
            let bytes = names.iter().map(|name| name.as_bytes().to_vec());
            value["xattrs_bytes"] = bytes.collect::<Vec<_>>().into();
        }
    }
    value
}

/// Extended attributes that could not be read, like any other error.
pub(super) fn xattr_error(entry: &WalkEntry, error: &std::io::Error) -> Value {
    let mut value = json!({
        "error": cause(error),
        "call": "listxattr",
        "soft": true,
        "timeout": error.kind() == std::io::ErrorKind::TimedOut,
        "loop": false,
        "depth": entry.depth(),
    });
    path_in(&mut value, &entry.path());
    value
}

pub(super) fn error(error: &WalkError) -> Value {
    let mut value = json!({
        "error": cause(error.io_error()),
        "call": error.call().name(),
        "soft": error.is_soft(),
        "timeout": error.is_timeout(),
        "loop": error.is_loop(),
        "depth": error.depth(),
    });
    path_in(&mut value, error.path());
    value
}

/// The end of a walk.
pub(super) struct Report<'a> {
    arguments: &'a Arguments,
    totals: &'a Totals,
    took: Duration,
    is_interrupted: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        arguments: &'a Arguments,
        totals: &'a Totals,
        took: Duration,
        is_interrupted: bool,
    ) -> Report<'a> {
        Report {
            arguments,
            totals,
            took,
            is_interrupted,
        }
    }

    fn rate(&self) -> u64 {
        let seconds = self.took.as_secs_f64().max(1e-6);
        (self.totals.all.entries as f64 / seconds) as u64
    }

    pub(super) fn json(&self) -> Value {
        let totals = self.totals;
        let of = |name: &str| totals.kinds.get(name).copied().unwrap_or_default();
        let kinds = totals.kinds.iter().map(|(name, kind)| {
            let value = json!({
                "entries": kind.entries,
                "bytes": kind.bytes,
                "disk_bytes": kind.disk_bytes,
            });
            ((*name).to_owned(), value)
        });
        let largest = totals.largest().into_iter().map(|(bytes, path)| {
            let mut value = json!({ "bytes": bytes });
            path_in(&mut value, &path);
            value
        });
        let failed = totals.failed.iter().map(|failed| {
            let mut value = json!({ "call": failed.call, "error": failed.reason });
            path_in(&mut value, &failed.path);
            value
        });
        let mut value = json!({
            "summary": true,
            "entries": totals.all.entries,
            "files": of("file").entries,
            "directories": of("directory").entries,
            "symlinks": of("symlink").entries,
            "bytes": totals.all.bytes,
            "disk_bytes": totals.all.disk_bytes,
            "by_type": kinds.collect::<serde_json::Map<_, _>>(),
            "largest": largest.collect::<Vec<_>>(),
            "repeated_links": totals.repeated_links,
            "mount_points": totals.mount_points,
            "errors": totals.errors,
            "timeouts": totals.timeouts,
            "lost_directories": totals.lost_directories,
            "failed": failed.collect::<Vec<_>>(),
            "interrupted": self.is_interrupted,
            "took_ms": ms(self.took),
            "entries_per_second": self.rate(),
        });
        if self.arguments.xattrs {
            value["with_xattrs"] = totals.with_xattrs.into();
            value["xattrs"] = totals.xattrs.into();
            value["xattrs_unread"] = totals.xattrs_unread.into();
        }
        value
    }

    pub(super) fn text(&self) -> String {
        let totals = self.totals;
        let mut text = String::new();
        let mut row = |name: &str, entries: u64, bytes: u64, disk_bytes: u64| {
            let (entries, bytes) = (
                HumanCount(entries).to_string(),
                HumanBytes(bytes).to_string(),
            );
            let disk = HumanBytes(disk_bytes).to_string();
            let _ = writeln!(text, "{name:<18}{entries:>14}{bytes:>14}{disk:>14}");
        };
        for (name, kind) in &totals.kinds {
            row(name, kind.entries, kind.bytes, kind.disk_bytes);
        }
        row(
            "all",
            totals.all.entries,
            totals.all.bytes,
            totals.all.disk_bytes,
        );
        let header = format!(
            "{:<18}{:>14}{:>14}{:>14}\n",
            "type", "entries", "bytes", "on disk"
        );
        text.insert_str(0, &header);
        let largest = totals.largest();
        if !largest.is_empty() {
            text.push_str("\nlargest files\n");
        }
        for (bytes, path) in largest {
            let _ = writeln!(
                text,
                "{:>14}  {}",
                HumanBytes(bytes).to_string(),
                line(&path)
            );
        }
        self.besides(&mut text);
        let rate = HumanCount(self.rate());
        let took = match self.took < Duration::from_secs(60) {
            true => format!("{:.2} s", self.took.as_secs_f64()),
            false => HumanDuration(self.took).to_string(),
        };
        let _ = write!(text, "\n{took}, {rate} entries/s");
        if self.is_interrupted {
            text.push_str(", interrupted");
        }
        text
    }

    /// What is not always there.
    fn besides(&self, text: &mut String) {
        let totals = self.totals;
        let more = [
            (
                totals.repeated_links,
                "further names of files that were counted once",
            ),
            (totals.mount_points, "mount points that were left out"),
            (totals.with_xattrs, "entries with extended attributes"),
            (
                totals.xattrs_unread,
                "entries whose extended attributes could not be read",
            ),
            (
                totals.lost_directories,
                "directories of which not all was seen",
            ),
            (totals.timeouts, "calls that did not end in time"),
            (totals.errors, "errors"),
        ];
        if more.iter().any(|(count, _)| *count > 0) {
            text.push('\n');
        }
        for (count, what) in more.iter().filter(|(count, _)| *count > 0) {
            let _ = writeln!(text, "{:>14}  {what}", HumanCount(*count).to_string());
        }
        for failed in totals.failed.iter().take(ERRORS_SHOWN) {
            let _ = writeln!(
                text,
                "{:>16}{} {}: {}",
                "",
                failed.call,
                line(&failed.path),
                failed.reason
            );
        }
    }
}
