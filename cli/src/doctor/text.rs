//! The diagnosis as text for people.

use std::fmt::Write as _;

use super::{Diagnosis, DirectIo, Filesystem, Limits, Operation, Ring};
use crate::timeouts::TimeoutsReport;

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
        let _ = writeln!(
            text,
            "\n{:<16}{:<13}{:<18}{:<30}reason",
            "operation", "way", "opcode", "blocking equivalent"
        );
        for operation in &self.operations {
            let opcode = match (operation.opcode, &operation.first_kernel) {
                (Some(opcode), Some(first)) => format!("{opcode} {first}"),
                _ => "-".into(),
            };
            let Operation {
                name,
                way,
                blocking,
                reason,
                ..
            } = operation;
            let line = format!(
                "{name:<16}{way:<13}{opcode:<18}{blocking:<30}{}",
                reason.unwrap_or_default()
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
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

/// As it can be set: `500ms`, `30s`.
fn duration(ms: u64) -> String {
    if ms % 1000 == 0 {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}
