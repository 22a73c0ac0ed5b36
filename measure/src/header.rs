//! On what a run was made.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate::probe;

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
        let filesystem = probe::filesystem(dir);
        let filesystem = filesystem.map_or_else(|error| error.to_string(), |found| found.fs_type);
        let report = probe::report();
        let ring = report.ring_reason().map(ToString::to_string);
        let program = std::env::args_os().next().map(PathBuf::from);
        let program = program.as_deref().and_then(Path::file_name);
        let command: Vec<String> = program
            .map(ToOwned::to_owned)
            .into_iter()
            .chain(std::env::args_os().skip(1))
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        let mut entries = vec![
            (
                "processors",
                match model {
                    Some((_, name)) => format!("{cpus} × {name}"),
                    None => cpus.to_string(),
                },
            ),
            ("kernel", report.kernel().to_owned()),
            ("filesystem", filesystem),
            ("io_uring", ring.unwrap_or_else(|| "available".to_owned())),
            ("load before", read("/proc/loadavg")),
            ("tidegate", env!("CARGO_PKG_VERSION").to_owned()),
            ("command", command.join(" ")),
        ];
        if let Some(backend) = std::env::var_os("TIDEGATE_BACKEND") {
            let backend = backend.to_string_lossy().into_owned();
            entries.push(("TIDEGATE_BACKEND", backend));
        }
        Header { entries }
    }

    /// One entry more, at the end.
    pub fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.entries.push((name, value.into()));
    }

    /// The value of one entry; empty if there is none of this name.
    pub fn entry(&self, name: &str) -> &str {
        let mut entries = self.entries.iter();
        let found = entries.find(|(entry, _)| *entry == name);
        found.map_or("", |(_, value)| value)
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
