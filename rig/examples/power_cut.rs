//! What to write, and what to look for afterwards, when the power is cut at any moment in between.
//!
//! `power_cut work MODE COUNT` writes below `$POWERCUT_MNT`, and says what it was promised, a line each, to the socket
//! `$POWERCUT_SOCK` (`ack TEXT`); `power_cut check MODE` looks whether the promises in the file `$POWERCUT_ACKS` hold
//! on the disk that is left. The modes are `atomic`, `append` and `batch`, and for each what must fail:
//! `atomic-no-dir-sync`, `atomic-no-file-sync`, `append-no-sync`, `batch-no-sync`.
#![cfg_attr(target_os = "linux", allow(clippy::disallowed_methods))]

#[cfg(target_os = "linux")]
mod cut {
    use std::collections::HashMap;
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tidegate::fs::{AppendWriter, AtomicOptions, CommitBatch, write_atomic};
    use tokio::task::JoinSet;

    const TASKS: u64 = 8;

    type Promises = Arc<Mutex<UnixStream>>;

    fn promise(promises: &Promises, text: &str) -> io::Result<()> {
        let mut socket = promises.lock().unwrap_or_else(|lock| lock.into_inner());
        socket.write_all(format!("ack {text}\n").as_bytes())?;
        let answer = socket.read(&mut [0; 16])?;
        assert!(answer > 0, "the rig is gone");
        Ok(())
    }

    /// A version of a file, which is whole or not.
    fn content(version: u64) -> Vec<u8> {
        let word = format!("{version:08}");
        word.repeat(64 + (version as usize * 613) % 8192)
            .into_bytes()
    }

    /// The version that a file has, if it is whole.
    fn version(path: &Path) -> Result<u64, &'static str> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("missing"),
            Err(_) => return Err("unreadable"),
        };
        let word = bytes
            .get(..8)
            .and_then(|word| std::str::from_utf8(word).ok());
        match word.and_then(|word| word.parse().ok()) {
            Some(version) if content(version) == bytes => Ok(version),
            _ => Err("torn"),
        }
    }

    /// The steps of `write_atomic`, less one of the syncs.
    fn without(mode: &str, path: &Path, version: u64) -> io::Result<()> {
        let temp = path.with_extension("tmp");
        let mut file = std::fs::File::create(&temp)?;
        file.write_all(&content(version))?;
        if mode != "atomic-no-file-sync" {
            file.sync_all()?;
        }
        std::fs::rename(&temp, path)?;
        if mode != "atomic-no-dir-sync" {
            std::fs::File::open(path.parent().unwrap_or(path))?.sync_all()?;
        }
        Ok(())
    }

    async fn atomic(mode: &str, root: &Path, count: u64, promises: &Promises) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (root, promises, mode) = (root.to_path_buf(), promises.clone(), mode.to_owned());
            tasks.spawn(async move {
                for turn in 1..=count / TASKS {
                    // One name that is replaced, and one that is new.
                    for name in [format!("f{task}"), format!("n{task}-{turn}")] {
                        let path = root.join(&name);
                        if mode == "atomic" {
                            let options = AtomicOptions::new();
                            write_atomic(&path, content(turn), options).await?;
                        } else {
                            without(&mode, &path, turn)?;
                            tokio::time::sleep(Duration::from_millis(30)).await;
                        }
                        promise(&promises, &format!("{name} {turn}"))?;
                    }
                }
                Ok::<_, io::Error>(())
            });
        }
        all(tasks).await
    }

    async fn all(mut tasks: JoinSet<io::Result<()>>) -> io::Result<()> {
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    async fn batch(mode: &str, root: &Path, count: u64, promises: &Promises) -> io::Result<()> {
        let options = AtomicOptions::new().sync(mode == "batch");
        let batch = CommitBatch::new(options);
        let mut tasks = JoinSet::new();
        for number in 1..=count {
            let name = format!("b{number}");
            let mut file = batch.begin(root.join(&name)).await?;
            let content = content(number);
            let (front, back) = content.split_at(content.len() / 2);
            file.write(front.to_vec()).await?;
            file.write(back.to_vec()).await?;
            let committed = batch.commit(file).await?;
            let promises = promises.clone();
            if mode != "batch" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tasks.spawn(async move {
                committed.await?;
                promise(&promises, &format!("{name} {number}"))
            });
        }
        all(tasks).await
    }

    fn record(task: u64, turn: u64) -> Vec<u8> {
        let word = format!("<{task:03}:{turn:06}>");
        word.repeat(1 + (task * 31 + turn * 7) as usize % 40)
            .into_bytes()
    }

    async fn append(mode: &str, root: &Path, count: u64, promises: &Promises) -> io::Result<()> {
        let log = Arc::new(AppendWriter::open(root.join("log")).await?);
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (log, promises, mode) = (log.clone(), promises.clone(), mode.to_owned());
            tasks.spawn(async move {
                for turn in 0..count / TASKS {
                    let offset = if mode == "append" {
                        log.append_sync(record(task, turn)).await?
                    } else {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        log.append(record(task, turn)).await?
                    };
                    promise(&promises, &format!("log {offset} {task} {turn}"))?;
                }
                Ok::<_, io::Error>(())
            });
        }
        all(tasks).await
    }

    pub(crate) fn work(mode: &str, count: u64) -> io::Result<()> {
        let root = PathBuf::from(variable("POWERCUT_MNT")?);
        let promises = UnixStream::connect(variable("POWERCUT_SOCK")?)?;
        let promises = Arc::new(Mutex::new(promises));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            match mode.split('-').next() {
                Some("atomic") => atomic(mode, &root, count, &promises).await,
                Some("append") => append(mode, &root, count, &promises).await,
                _ => batch(mode, &root, count, &promises).await,
            }
        })
    }

    fn variable(name: &str) -> io::Result<String> {
        std::env::var(name).map_err(|_| io::Error::other(format!("{name} is not set")))
    }

    /// The first violation.
    pub(crate) fn check() -> Result<(), String> {
        let root = PathBuf::from(variable("POWERCUT_MNT").map_err(|error| error.to_string())?);
        let acks = variable("POWERCUT_ACKS").map_err(|error| error.to_string())?;
        let acks = std::fs::read_to_string(acks).map_err(|error| error.to_string())?;
        let mut wanted: HashMap<&str, u64> = HashMap::new();
        let log = std::fs::read(root.join("log")).unwrap_or_default();
        for line in acks.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
            match (words.first(), number(1), number(2), number(3)) {
                (Some(&"log"), Some(offset), Some(task), Some(turn)) => {
                    let record = record(task, turn);
                    let from = offset as usize;
                    if log.get(from..from + record.len()) != Some(&record[..]) {
                        return Err(format!("lost record {task}:{turn} at {offset}"));
                    }
                }
                (Some(name), Some(version), ..) => {
                    let known = wanted.entry(name).or_default();
                    *known = version.max(*known);
                }
                _ => return Err(format!("unknown promise {line}")),
            }
        }
        for (name, wanted) in wanted {
            let found = version(&root.join(name))?;
            if found < wanted {
                return Err(format!("stale {name}: {found}, not {wanted}"));
            }
        }
        // What was not promised is there whole, or not at all.
        for entry in std::fs::read_dir(&root).map_err(|error| error.to_string())? {
            let name = entry.map_err(|error| error.to_string())?.file_name();
            let name = name.to_string_lossy().into_owned();
            if name.starts_with(['f', 'n', 'b']) && !name.ends_with(".tmp") {
                version(&root.join(name))?;
            }
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["work", mode, count] => match cut::work(mode, count.parse().unwrap_or(300)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{mode}: {error}");
                ExitCode::FAILURE
            }
        },
        ["check", ..] => match cut::check() {
            Ok(()) => ExitCode::SUCCESS,
            Err(violation) => {
                println!("{violation}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: power_cut work MODE COUNT, or power_cut check");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {}
