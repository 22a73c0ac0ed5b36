//! Processes that are killed at any moment; `TIDEGATE_TEST_ROUNDS` says how many.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ChildStdout;
use std::sync::Arc;

use tidegate::fs::{AppendWriter, AtomicOptions, CommitBatch, write_atomic};

use crate::append::Random;
use crate::atomic::names;
use crate::common;
use crate::common::child;

const TEST: &str = "crash::a_kill_takes_nothing_that_was_acknowledged";

fn content(version: u64) -> Vec<u8> {
    format!("{version:012}")
        .repeat(1 + version as usize * 97 % 4000)
        .into_bytes()
}

fn version(path: &Path) -> Option<u64> {
    let bytes = std::fs::read(path).ok()?;
    let version = std::str::from_utf8(bytes.get(..12)?).ok()?.parse().ok()?;
    assert!(
        bytes == content(version),
        "{path:?} is torn: {} bytes",
        bytes.len()
    );
    Some(version)
}

fn say(text: String) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").unwrap();
    out.flush().unwrap();
}

/// Replaces a file, makes new ones, appends to a log, until it is killed.
async fn work(root: &Path, round: u64) {
    let log = Arc::new(AppendWriter::open(root.join("log")).await.unwrap());
    for task in 0..4 {
        let log = log.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let record = format!("[{round}:{task}:{turn}]");
                let offset = log.append(record.clone().into_bytes()).await.unwrap();
                say(format!("log {offset} {record}"));
            }
        });
    }
    let batch = CommitBatch::new(AtomicOptions::new().sync(false));
    let options = AtomicOptions::new().sync(round % 4 == 0);
    for turn in 1.. {
        let version = round * 1_000_000 + turn;
        write_atomic(root.join("file"), content(version), options.clone())
            .await
            .unwrap();
        say(format!("file {version}"));
        let name = format!("n{version}");
        let mut file = batch.begin(root.join(&name)).await.unwrap();
        file.write(content(version)).await.unwrap();
        batch.commit(file).await.unwrap().await.unwrap();
        say(format!("{name} {version}"));
    }
}

/// Reads so many acknowledgements, and what came until the end.
fn acknowledged(out: ChildStdout, after: u64, kill: impl FnOnce()) -> Vec<String> {
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    let mut seen: Vec<String> = lines.by_ref().take(after as usize + 4).collect();
    kill();
    seen.extend(lines);
    seen
}

fn check(root: &Path, seen: &[String]) {
    let log = std::fs::read(root.join("log")).unwrap_or_default();
    for line in seen {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["log", offset, record] => {
                let from: usize = offset.parse().unwrap();
                let found = log.get(from..from + record.len());
                assert_eq!(found, Some(record.as_bytes()), "{line}");
            }
            ["file", wanted] => {
                assert!(version(&root.join("file")) >= wanted.parse().ok(), "{line}");
            }
            [name, wanted] if name.starts_with('n') => {
                assert_eq!(version(&root.join(name)), wanted.parse().ok(), "{line}");
            }
            _ => {}
        }
    }
    let mut litter = 0;
    for name in names(root) {
        match name.starts_with('n') {
            true => drop(version(&root.join(&name)).unwrap()),
            false => litter += usize::from(name.ends_with(".tmp")),
        }
    }
    assert!(
        litter <= 1,
        "one file was being replaced, and {litter} are left"
    );
}

#[test]
fn a_kill_takes_nothing_that_was_acknowledged() {
    if child::is_child(TEST) {
        let root = std::env::var("CRASH_ROOT").unwrap();
        let round = std::env::var("CRASH_ROUND").unwrap().parse().unwrap();
        return common::runtime(true).block_on(work(Path::new(&root), round));
    }
    let seeds = common::seeds(100);
    let mut acknowledgements = 0;
    for (round, &seed) in seeds.iter().enumerate() {
        let mut random = Random::from(seed);
        let root = tempfile::tempdir().unwrap();
        let mut command = child::command(TEST);
        command.env("CRASH_ROOT", root.path());
        command.env("CRASH_ROUND", round.to_string());
        command.stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (after, pause_us) = (random.below(120), random.below(4000));
        let seen = acknowledged(out, after, || {
            // Not right behind an acknowledgement, but anywhere between two.
            std::thread::sleep(std::time::Duration::from_micros(pause_us));
            child.kill().unwrap();
        });
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "seed {seed}: {status}: {seen:?}");
        // A line that was cut off acknowledges nothing.
        let whole = seen.len().saturating_sub(1);
        acknowledgements += whole;
        check(root.path(), &seen[..whole]);
    }
    println!("{} kills, {acknowledgements} acknowledgements", seeds.len());
    assert!(acknowledgements > 10 * seeds.len(), "{acknowledgements}");
}
