//! Plays the same random operations on files of one crate or the other, and tells what came of them.

use std::fmt::Debug;
use std::io::{self, IoSlice, Seek, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, ReadBuf};

use super::fs::{File, OpenOptions};

/// Numbers from a seed, the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn bytes(&mut self, most: u64) -> Vec<u8> {
        let (length, first) = (self.below(most + 1), self.below(256));
        (0..length).map(|n| (n + first) as u8).collect()
    }

    pub(super) fn seek(&mut self) -> SeekFrom {
        match self.below(4) {
            0 => SeekFrom::Start(self.below(9000)),
            1 => SeekFrom::End(self.below(2000) as i64 - 1800),
            _ => SeekFrom::Current(self.below(3000) as i64 - 1600),
        }
    }
}

struct Player {
    random: Random,
    files: Vec<File>,
    log: Vec<String>,
}

/// What came of so many operations on the file.
pub(crate) async fn play(path: &Path, seed: u64, operations: usize) -> Vec<String> {
    let mut random = Random(seed);
    std::fs::write(path, random.bytes(8000)).unwrap();
    let mut options = OpenOptions::new();
    match seed % 5 {
        0 => options.read(true),
        1 => options.write(true),
        2 => options.read(true).append(true),
        _ => options.read(true).write(true),
    };
    let files = vec![options.open(path).await.unwrap()];
    let mut player = Player {
        random,
        files,
        log: Vec::new(),
    };
    for _ in 0..operations {
        player.step().await;
    }
    for file in &mut player.files {
        super::acknowledge(file);
        let flushed = file.flush().await;
        player.log.push(result(flushed));
    }
    player.files.clear();
    let content = std::fs::read(path).unwrap();
    player
        .log
        .push(format!("left with {} bytes: {content:?}", content.len()));
    player.log
}

pub(super) fn result<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Reads until there are so many bytes, or no more.
pub(super) async fn read(file: &mut File, count: usize) -> io::Result<Vec<u8>> {
    let mut found = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read(&mut found[filled..]).await? {
            0 => break,
            more => filled += more,
        }
    }
    found.truncate(filled);
    Ok(found)
}

/// Begins to read and does not wait.
fn abandon_read(file: &mut File, count: usize) {
    let mut space = vec![0; count];
    let mut cx = Context::from_waker(Waker::noop());
    let _ = Pin::new(file).poll_read(&mut cx, &mut ReadBuf::new(&mut space));
}

impl Player {
    async fn step(&mut self) {
        let at = self.random.below(self.files.len() as u64) as usize;
        let file = &mut self.files[at];
        let random = &mut self.random;
        let (name, text) = match random.below(13) {
            0..=2 => (
                "read",
                result(read(file, random.below(3000) as usize).await),
            ),
            3 | 4 => ("write", result(file.write(&random.bytes(2000)).await)),
            5 => (
                "write_all",
                result(file.write_all(&random.bytes(5000)).await),
            ),
            6 => {
                let (one, two) = (random.bytes(300), random.bytes(300));
                let slices = [IoSlice::new(&one), IoSlice::new(&two)];
                ("write_vectored", result(file.write_vectored(&slices).await))
            }
            7 | 8 => ("seek", result(file.seek(random.seek()).await)),
            9 => ("set_len", result(file.set_len(random.below(9000)).await)),
            10 => {
                file.set_max_buf_size(1 + random.below(4000) as usize);
                ("set_max_buf_size", String::new())
            }
            11 => {
                abandon_read(file, 1 + random.below(3000) as usize);
                let at = SeekFrom::Start(random.below(9000));
                ("abandoned read", result(file.seek(at).await))
            }
            _ => return self.change_files(at).await,
        };
        self.log.push(format!("{name} of file {at}: {text}"));
        // With tokio, a clone may read before a write in the background.
        if self.files.len() > 1 {
            let flushed = self.flush(at).await;
            self.log.push(result(flushed));
        }
    }

    /// What a write left is told once, as with tokio.
    async fn flush(&mut self, at: usize) -> io::Result<()> {
        super::acknowledge(&self.files[at]);
        let flushed = self.files[at].flush().await;
        super::acknowledge(&self.files[at]);
        flushed
    }

    /// Clones the file, drops a clone, or hands the file to std and takes it back.
    async fn change_files(&mut self, at: usize) {
        let flushed = self.flush(at).await;
        self.log
            .push(format!("flush of file {at}: {}", result(flushed)));
        match self.files.len() {
            1 if self.random.below(2) == 0 => {
                let file = self.files.pop().unwrap();
                let size = file.max_buf_size();
                let mut of_std = file.into_std().await;
                self.log.push(format!(
                    "in std's hands at {}",
                    of_std.stream_position().unwrap()
                ));
                let mut file = File::from_std(of_std);
                file.set_max_buf_size(size);
                self.files.push(file);
            }
            1 | 2 => {
                let clone = self.files[at].try_clone().await.unwrap();
                self.log
                    .push(format!("cloned, with {}", clone.max_buf_size()));
                self.files.push(clone);
            }
            _ => drop(self.files.remove(at)),
        }
    }
}
