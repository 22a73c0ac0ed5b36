//! What was promised, when, and whether it holds.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tidegate_rig::HeldDisk;

/// Something that has to be true from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) moment: u64,
    what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The file has this version, or a later one.
    Version { name: String, version: u64 },
    /// The log has this record there.
    Record { offset: u64, task: u64, turn: u64 },
}

/// The promises of a workload.
pub(crate) struct Promises<'a> {
    disk: &'a HeldDisk,
    all: Mutex<Vec<Promise>>,
}

impl<'a> Promises<'a> {
    pub(crate) fn new(disk: &'a HeldDisk) -> Promises<'a> {
        let all = Mutex::default();
        Promises { disk, all }
    }

    pub(crate) fn add(&self, what: What) -> io::Result<()> {
        let moment = self.disk.moment()?;
        self.all.lock().unwrap().push(Promise { moment, what });
        Ok(())
    }

    pub(crate) fn into_all(self) -> Vec<Promise> {
        let mut all = self.all.into_inner().unwrap();
        all.sort_by_key(|promise| promise.moment);
        all
    }
}

/// A version of a file, which is whole or not.
pub(crate) fn content(version: u64) -> Vec<u8> {
    let word = format!("{version:08}");
    word.repeat(64 + (version as usize * 613) % 8192)
        .into_bytes()
}

pub(crate) fn record(task: u64, turn: u64) -> Vec<u8> {
    let word = format!("<{task:03}:{turn:06}>");
    word.repeat(1 + (task * 31 + turn * 7) as usize % 40)
        .into_bytes()
}

/// The version that a file has, if it is whole.
fn version(path: &Path) -> Result<u64, &'static str> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("missing"),
        Err(_) => return Err("unreadable"),
    };
    let word = bytes.get(..8).map(std::str::from_utf8);
    let word = word.and_then(Result::ok).map(str::parse);
    match word.and_then(Result::ok) {
        Some(version) if content(version) == bytes => Ok(version),
        _ => Err("torn"),
    }
}

/// The first that does not hold.
pub(crate) fn check<'a>(
    root: &Path,
    promises: impl Iterator<Item = &'a Promise>,
) -> Result<(), String> {
    let mut wanted: HashMap<&str, u64> = HashMap::new();
    let log = std::fs::read(root.join("log")).unwrap_or_default();
    for promise in promises {
        match &promise.what {
            What::Version { name, version } => {
                let known = wanted.entry(name).or_default();
                *known = (*version).max(*known);
            }
            What::Record { offset, task, turn } => {
                let (record, from) = (record(*task, *turn), *offset as usize);
                if log.get(from..from + record.len()) != Some(&record[..]) {
                    return Err(format!("lost record {task}:{turn} at {offset}"));
                }
            }
        }
    }
    for (name, wanted) in wanted {
        let found = version(&root.join(name)).map_err(|why| format!("{why} {name}"))?;
        if found < wanted {
            return Err(format!("stale {name}: {found}, not {wanted}"));
        }
    }
    // What was not promised is there whole, or not at all.
    for entry in std::fs::read_dir(root).map_err(|error| error.to_string())? {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name.starts_with(['f', 'n', 'b']) && !name.ends_with(".tmp") {
            version(&root.join(&name)).map_err(|why| format!("{why} {name}"))?;
        }
    }
    Ok(())
}
