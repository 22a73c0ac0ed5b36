//! Plays random operations on one open file that is shared by files of a crate, files of std and child
//! processes, and tells what came of them.

use std::fmt::Debug;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::player::{Random, read, result};

/// One of those who have the open file.
enum Holder {
    Crate(File),
    Std(std::fs::File),
}

use Holder::{Crate, Std};

struct Scene {
    random: Random,
    holders: Vec<Holder>,
    /// Whether somebody else than the crate's files can have it.
    is_shared: bool,
    log: Vec<String>,
}

/// What came of so many operations on the file.
pub(crate) async fn play(path: &Path, seed: u64, operations: usize) -> Vec<String> {
    let mut random = Random(seed);
    std::fs::write(path, random.bytes(4000)).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).append(seed % 4 == 0).write(true);
    let mut std_options = std::fs::OpenOptions::new();
    std_options.read(true).append(seed % 4 == 0).write(true);
    let is_shared = random.below(3) == 0;
    let first = match is_shared {
        true => File::from_std(std_options.open(path).unwrap()),
        false => options.open(path).await.unwrap(),
    };
    let mut scene = Scene {
        random,
        holders: vec![Crate(first)],
        is_shared,
        log: Vec::new(),
    };
    for _ in 0..operations {
        scene.step().await;
    }
    scene.holders.clear();
    let content = std::fs::read(path).unwrap();
    let end = format!("left with {} bytes: {content:?}", content.len());
    scene.log.push(end);
    scene.log
}

/// Of a file of std, as much as there is, up to so many bytes.
fn read_std(file: &mut std::fs::File, count: usize) -> io::Result<Vec<u8>> {
    let mut found = Vec::new();
    Read::by_ref(file)
        .take(count as u64)
        .read_to_end(&mut found)?;
    Ok(found)
}

/// Where the open file is, for everybody who has it.
fn position(fd: &impl AsRawFd) -> i64 {
    // SAFETY: it moves nothing, and takes a number that is open.
    unsafe { nix::libc::lseek(fd.as_raw_fd(), 0, nix::libc::SEEK_CUR) }
}

impl Scene {
    async fn step(&mut self) {
        let at = self.random.below(self.holders.len() as u64) as usize;
        let told = match self.random.below(8) {
            0 => self.come_or_go(at).await,
            1 => self.run_a_child(at).await,
            _ => match &mut self.holders[at] {
                Crate(file) => on_crate(&mut self.random, file).await,
                Std(file) => on_std(&mut self.random, file),
            },
        };
        self.log.push(format!("holder {at} {told}"));
        if self.is_shared {
            let told = match &self.holders[0] {
                Crate(file) => position(file),
                Std(file) => position(file),
            };
            self.log.push(format!("then it stands at {told}"));
        }
    }

    /// Somebody more has the open file, or has it as something else, or has it no more.
    async fn come_or_go(&mut self, at: usize) -> String {
        let what = self.random.below(9);
        let holder = self.holders.remove(at);
        let (told, more) = match (what, holder) {
            (0, holder) if !self.holders.is_empty() => {
                drop(holder);
                ("is dropped", vec![])
            }
            (1, Crate(file)) => {
                let clone = file.try_clone().await.unwrap();
                ("is cloned", vec![Crate(clone), Crate(file)])
            }
            (2, Crate(file)) => {
                self.is_shared = true;
                let clone = file.try_clone().await.unwrap().into_std().await;
                ("has a clone of std's", vec![Std(clone), Crate(file)])
            }
            (3, Crate(file)) => {
                self.is_shared = true;
                let clone = file.as_fd().try_clone_to_owned().unwrap();
                ("is duplicated", vec![Crate(file), Std(clone.into())])
            }
            (4, Crate(file)) => {
                self.is_shared = true;
                ("becomes std's", vec![Std(file.into_std().await)])
            }
            (5, Crate(file)) => {
                self.is_shared = true;
                let file = file.try_into_std().unwrap();
                ("becomes std's at once", vec![Std(file)])
            }
            (5, Std(file)) => ("comes back", vec![Crate(File::from_std(file))]),
            (6, Std(file)) => {
                let file = File::from(OwnedFd::from(file));
                ("comes back by its descriptor", vec![Crate(file)])
            }
            (7, Std(file)) => {
                let clone = file.try_clone().unwrap();
                ("is cloned by std", vec![Std(file), Std(clone)])
            }
            (_, holder) => ("stays", vec![holder]),
        };
        self.holders.extend(more);
        told.to_owned()
    }

    /// A child writes to the open file as its output, or reads some of it as its input.
    async fn run_a_child(&mut self, at: usize) -> String {
        self.is_shared = true;
        let file = match &self.holders[at] {
            Crate(file) => file.try_clone().await.unwrap().into_std().await,
            Std(file) => file.try_clone().unwrap(),
        };
        let mut child = Command::new("sh");
        if self.random.below(2) == 0 {
            let text = format!("child {}\n", self.random.below(1_000_000));
            child.args(["-c", "printf %s \"$1\"", "sh", &text]);
            let status = child.stdout(file).status().unwrap();
            return format!("had a child write {text:?}: {status}");
        }
        let count = 1 + self.random.below(300);
        child.args(["-c", &format!("exec dd bs={count} count=1 2>/dev/null")]);
        let output = child.stdin(file).stderr(Stdio::null()).output().unwrap();
        format!("had a child read {:?}", output.stdout)
    }
}

fn told<T: Debug>(what: &str, came: io::Result<T>) -> String {
    format!("{what}: {}", result(came))
}

async fn on_crate(random: &mut Random, file: &mut File) -> String {
    match random.below(9) {
        0 | 1 => told("reads", read(file, random.below(1500) as usize).await),
        2 | 3 => {
            let written = file.write_all(&random.bytes(1500)).await;
            let flushed = file.flush().await;
            told("writes", written.and(flushed))
        }
        4 => told("seeks", file.seek(random.seek()).await),
        5 => told("asks where it is", file.stream_position().await),
        6 => {
            // The read waits for what is written, and nobody flushes.
            let written = file.write_all(&random.bytes(1500)).await;
            let found = read(file, 1 + random.below(800) as usize).await;
            told("writes and reads", written.and(found))
        }
        7 => {
            let length = file.set_len(random.below(5000)).await;
            let metadata = file.metadata().await.map(|metadata| metadata.len());
            told("changes the length", length.and(metadata))
        }
        _ => {
            let written = file.write_all(&random.bytes(1500)).await;
            let told = told("writes and syncs", written.and(file.sync_data().await));
            format!("{told}, {}", result(file.flush().await))
        }
    }
}

fn on_std(random: &mut Random, file: &mut std::fs::File) -> String {
    match random.below(6) {
        0 | 1 => told("reads", read_std(file, random.below(1500) as usize)),
        2 | 3 => told("writes", file.write_all(&random.bytes(1500))),
        4 => told("seeks", file.seek(random.seek())),
        _ => {
            let mut found = [0; 100];
            let count = file.read_at(&mut found, random.below(4000)).unwrap();
            told("reads elsewhere", Ok(&found[..count]))
        }
    }
}
