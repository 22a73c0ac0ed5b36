//! The diagnosis as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::groups::{GROUPS, OTHERS, group, place};
use super::{Diagnosis, DirectIo, Filesystem, Limits, Operation, Ring};
use crate::timeouts::TimeoutsReport;

/// What every terminal has.
const COLUMNS: usize = 80;

/// Where what is said of a label begins.
const INDENT: usize = 12;

/// Where the calls of an operation begin: behind the longest name, way and opcode, which have a space each.
const CALLS: usize = 52;

impl Diagnosis {
    /// The whole diagnosis.
    pub(super) fn text(&self) -> String {
        let mut text = format!("kernel      {}\n", self.kernel);
        // Writing to a string does not fail.
        let _ = match &self.ring {
            Ring::Available { opcodes } => {
                writeln!(text, "io_uring    available, {opcodes} opcodes")
            }
            Ring::Unavailable { reason, remedy, .. } => {
                writeln!(
                    text,
                    "io_uring    unavailable: {reason}\n            remedy: {remedy}"
                )
            }
        };
        if let Some(backend) = &self.requested_backend {
            let _ = writeln!(text, "backend     TIDEGATE_BACKEND={backend}");
        }
        self.buffers.text(&mut text);
        self.filesystem_text(&mut text);
        self.limits_text(&mut text);
        self.settings_text(&mut text);
        let mut text = wrapped(&text, INDENT);
        self.operations_text(&mut text);
        text
    }

    /// How many operations take which way and why, then each of them in its group.
    fn operations_text(&self, text: &mut String) {
        let mut ways: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
        for operation in &self.operations {
            *ways.entry((operation.way, operation.reason)).or_default() += 1;
        }
        let of = self.operations.len();
        let mut summary = String::new();
        for (index, ((way, reason), count)) in ways.iter().rev().enumerate() {
            let label = if index == 0 { "operations" } else { "" };
            let _ = write!(summary, "{label:<INDENT$}{count} of {of} {}", words(way));
            let _ = match reason {
                Some(reason) => writeln!(summary, ": {reason}"),
                None => writeln!(summary),
            };
        }
        text.push_str(&wrapped(&summary, INDENT));
        for name in GROUPS.iter().map(|(name, _)| *name).chain([OTHERS]) {
            let of_group = self.operations.iter().filter(|one| group(one.name) == name);
            let mut rows: Vec<_> = of_group.collect();
            rows.sort_by_key(|operation| place(operation.name));
            if rows.is_empty() {
                continue;
            }
            let (by_ring, of) = (rows.iter().filter(|one| one.way == "ring"), rows.len());
            let by_ring = by_ring.count();
            let _ = writeln!(text, "\n{name}: {by_ring} of {of} can go through the ring");
            let rows: String = rows.into_iter().map(Operation::line).collect();
            text.push_str(&wrapped(&rows, CALLS));
        }
        text.push_str(
            "\nOf each operation: its way, the opcode and its first kernel, a thread's calls.\n",
        );
    }

    fn filesystem_text(&self, text: &mut String) {
        let Some(filesystem) = &self.filesystem else {
            return;
        };
        let Filesystem {
            path,
            fs_type,
            mount_point,
            at_poll,
            direct_io,
            ..
        } = filesystem;
        let _ = write!(text, "filesystem  {path}: {fs_type}");
        if let Some(mount_point) = mount_point {
            let _ = write!(text, " mounted on {mount_point}");
        }
        let (given, missing): (Vec<_>, Vec<_>) = at_poll.iter().partition(|found| found.available);
        let given: Vec<_> = given.iter().map(|found| found.answer).collect();
        let polls = match (given.is_empty(), missing.is_empty()) {
            (_, true) => "cached answers at the first poll".into(),
            (true, _) => "never touched by a poll".into(),
            _ => format!("cached {} at the first poll", given.join(" and ")),
        };
        let _ = writeln!(text, ", {polls}");
        for found in missing {
            let reason = found.reason.as_deref().unwrap_or_default();
            let remedy = found.remedy.as_deref().unwrap_or_default();
            let answer = found.answer;
            let _ = writeln!(text, "            no cached {answer}: {reason}; {remedy}");
        }
        let _ = match direct_io {
            Some(DirectIo {
                memory_align_bytes,
                offset_align_bytes,
            }) => writeln!(
                text,
                "direct I/O  memory aligned to {memory_align_bytes} bytes, offset and length to {offset_align_bytes}"
            ),
            None => writeln!(
                text,
                "direct I/O  the filesystem does not tell its alignment, or has none"
            ),
        };
    }

    fn limits_text(&self, text: &mut String) {
        let shown = |limit: Option<u64>| {
            limit.map_or_else(|| "unlimited".into(), |limit| limit.to_string())
        };
        let Limits {
            locked_memory_bytes,
            open_files,
            processes,
        } = self.limits;
        let _ = writeln!(
            text,
            "limits      locked memory {} bytes, open files {}, threads {}",
            shown(locked_memory_bytes),
            shown(open_files),
            shown(processes)
        );
    }

    fn settings_text(&self, text: &mut String) {
        let Some(settings) = &self.settings else {
            return;
        };
        let shown = |timeout: Option<u64>| timeout.map_or_else(|| "off".into(), duration);
        let TimeoutsReport {
            metadata_ms,
            data_ms,
            sync_ms,
        } = settings.timeouts;
        let _ = writeln!(
            text,
            "timeouts    metadata {}, data {}, sync {}; logged after {}, {} threads may be stuck",
            shown(metadata_ms),
            shown(data_ms),
            shown(sync_ms),
            duration(settings.warn_after_ms),
            settings.stuck_threads_max
        );
    }
}

impl Operation {
    /// Its row: each column is at least a space apart from the next, however long what is in it.
    fn line(&self) -> String {
        let opcode = match (self.opcode, &self.first_kernel) {
            (Some(opcode), Some(first)) => format!("{opcode} {first}"),
            _ => "-".into(),
        };
        let start = format!("{:<21} {:<8}", self.name, short(self.way));
        format!("{start:<30} {opcode:<20} {}\n", self.blocking)
    }
}

/// What a way is in a sentence.
fn words(way: &str) -> &str {
    match way {
        "pool" => "go to threads",
        "ring" => "can go through the ring",
        "unsupported" => "are not to be had",
        other => other,
    }
}

/// What a way is in a column.
fn short(way: &str) -> &str {
    match way {
        "pool" => "threads",
        "unsupported" => "none",
        other => other,
    }
}

/// Lines that are too wide for a terminal go on in further lines, which begin at the indent. A word that is longer than a
/// line stays whole.
fn wrapped(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut rest = line;
        let mut from = 0;
        while let Some(at) = break_of(rest, from) {
            wrapped.push_str(rest[..at].trim_end());
            wrapped.push('\n');
            let _ = write!(wrapped, "{:indent$}", "");
            rest = rest[at..].trim_start();
            from = indent;
        }
        wrapped.push_str(rest.trim_end());
        wrapped.push('\n');
    }
    wrapped
}

/// Where a line has to be broken that begins after so many columns, if it is too wide: at the last space that is within,
/// else at the first one, but not before the first word of a first line's text.
fn break_of(line: &str, from: usize) -> Option<usize> {
    if from + line.chars().count() <= COLUMNS {
        return None;
    }
    let text = if from == 0 { INDENT } else { 0 };
    let spaces = line.char_indices().enumerate();
    let mut spaces = spaces.filter(|(column, (_, c))| *c == ' ' && *column > text);
    let mut found = None;
    let at = |(column, (at, _)): (usize, (usize, char))| (from + column, at);
    for (column, at) in spaces.by_ref().map(at) {
        if column > COLUMNS {
            return found.or(Some(at));
        }
        found = Some(at);
    }
    found
}

/// As it can be set: `500ms`, `30s`.
fn duration(ms: u64) -> String {
    if ms % 1000 == 0 {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is lost, nothing is wider than a terminal, and what goes on begins at the indent.
    #[test]
    fn wide_lines_go_on_below() {
        let words = "word ".repeat(40);
        let text = format!("{:<INDENT$}{words}\nshort  line", "label");
        let wrapped = wrapped(&text, INDENT);
        let lines: Vec<_> = wrapped.lines().collect();
        assert!(lines.len() > 3, "{wrapped}");
        assert!(lines.iter().all(|line| line.len() <= COLUMNS), "{wrapped}");
        assert!(lines[1].starts_with(&format!("{:INDENT$}word", "")));
        assert_eq!(*lines.last().unwrap(), "short  line");
        let count = |text: &str| text.matches("word").count();
        assert_eq!(count(&wrapped), count(&text));
    }

    /// A word that is longer than a line is on one of its own, and what comes after it on the next.
    #[test]
    fn long_words_stay_whole() {
        let long = "/".repeat(100);
        let text = format!("{:<INDENT$}at {long} and more", "label");
        let wrapped = wrapped(&text, INDENT);
        let lines: Vec<_> = wrapped.lines().map(str::trim_start).collect();
        assert_eq!(lines, ["label       at", &long, "and more"]);
    }
}
