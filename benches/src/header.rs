//! On what a run was made.

use std::fs;
use std::path::Path;

use nix::sys::statfs::statfs;
use serde_json::{Value, json};

/// The machine, its kernel and the command, as figures are worth nothing without.
#[derive(Clone, Debug)]
pub struct Header {
    entries: Vec<(&'static str, String)>,
}

impl Header {
    /// Of this process, with the data in `dir`.
    pub fn new(dir: &Path) -> Header {
        let read = |path: &str| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let filesystem = statfs(dir).map_or_else(
            |error| error.to_string(),
            |stat| format!("type {:#x}", stat.filesystem_type().0),
        );
        let command: Vec<String> = std::env::args_os()
            .skip(1)
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        Header {
            entries: vec![
                (
                    "processors",
                    format!("{cpus} × {}", model.map_or("?", |(_, name)| name)),
                ),
                ("kernel", read("/proc/sys/kernel/osrelease")),
                ("filesystem", filesystem),
                ("load before", read("/proc/loadavg")),
                ("tidegate", env!("CARGO_PKG_VERSION").to_owned()),
                ("command", format!("compare {}", command.join(" "))),
            ],
        }
    }

    /// A list in markdown.
    pub fn markdown(&self) -> String {
        let lines = self
            .entries
            .iter()
            .map(|(name, value)| format!("- {name}: {value}\n"));
        lines.collect()
    }

    /// An object.
    pub fn json(&self) -> Value {
        let entries = self
            .entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        Value::Object(entries.collect())
    }
}
