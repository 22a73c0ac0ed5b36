//! Random operations on an open file of any sort that can be read or written without a peer.

use std::io::{IoSlice, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::libc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::fs::{File, OpenOptions};
use super::random::{Random, brief, kind, told};

/// Positions at the bounds of what files may have.
const FAR: &[u64] = &[
    0,
    1,
    4095,
    4096,
    65_536,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    (1 << 44) - 4096,
    1 << 44,
    1 << 50,
    i64::MAX as u64 - 4096,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// Lengths that no filesystem gives room for.
const LENGTHS: &[u64] = &[0, 1, 5000, 100_000, 1 << 63, u64::MAX, i64::MAX as u64];

struct Player {
    random: Random,
    file: Option<File>,
    others: Vec<std::fs::File>,
    is_plain: bool,
}

fn memory() -> std::fs::File {
    // SAFETY: the name ends in a zero; what comes is a descriptor that nobody else has.
    unsafe { std::fs::File::from_raw_fd(libc::memfd_create(c"memory".as_ptr(), 0)) }
}

/// A file of some sort, its name for the log, and whether it is a regular one.
async fn make(random: &mut Random, root: &Path) -> (String, File, bool) {
    let path = root.join("file");
    std::fs::write(&path, random.bytes(9000)).unwrap();
    let mut options = OpenOptions::new();
    let choice = random.below(15);
    let (name, path, is_plain) = match choice {
        0 => {
            options.read(true);
            ("read only", path, true)
        }
        1 => {
            options.write(true);
            ("write only", path, true)
        }
        2 => {
            options.read(true).append(true);
            ("append", path, true)
        }
        3 => {
            options.read(true).write(true).custom_flags(libc::O_TMPFILE);
            ("no name", root.to_owned(), true)
        }
        4 => {
            let file = memory();
            file.write_all_at(&random.bytes(9000), 0).unwrap();
            return ("memory".into(), File::from_std(file), true);
        }
        5 => {
            let file = std::fs::File::options().read(true).write(true).open(&path);
            return ("std's".into(), File::from_std(file.unwrap()), true);
        }
        6 => {
            options.read(true).custom_flags(libc::O_PATH);
            ("path", path, false)
        }
        7 => {
            options.read(true);
            ("folder", root.to_owned(), false)
        }
        8..=10 => {
            let device = ["/dev/null", "/dev/zero", "/dev/full"][choice as usize - 8];
            options.read(true).write(true);
            (device, device.into(), false)
        }
        11 | 12 => {
            // It takes no writes at a position, and has one.
            std::fs::write("/proc/self/comm", "made up").unwrap();
            let write = random.below(3) > 0;
            options.read(true).write(write);
            let path = if write {
                "/proc/self/comm"
            } else {
                "/proc/self/mounts"
            };
            ("made up", path.into(), false)
        }
        _ => {
            options.read(true).write(true);
            ("read, write", path, true)
        }
    };
    (name.into(), options.open(path).await.unwrap(), is_plain)
}

/// What came of so many operations on a file.
pub(crate) async fn play(root: &Path, seed: u64, operations: usize) -> Vec<String> {
    let mut random = Random(seed);
    let (name, file, is_plain) = make(&mut random, root).await;
    let mut player = Player {
        random,
        file: Some(file),
        others: Vec::new(),
        is_plain,
    };
    let mut log = vec![name.clone()];
    for _ in 0..operations {
        let step = player.step().await;
        log.push(format!("{name}: {step}"));
    }
    log
}

/// The bytes that there are, up to so many.
async fn read(file: &mut File, count: usize) -> std::io::Result<String> {
    let mut found = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read(&mut found[filled..]).await? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(brief(&found[..filled]))
}

impl Player {
    fn seek(&mut self) -> SeekFrom {
        let random = &mut self.random;
        match random.below(6) {
            0 => SeekFrom::Start(*random.one_of(FAR)),
            1 => SeekFrom::Current(*random.one_of(FAR) as i64),
            2 => SeekFrom::End(*random.one_of(FAR) as i64),
            3 => SeekFrom::Start(random.below(12_000)),
            4 => SeekFrom::End(random.below(2000) as i64 - 1800),
            _ => SeekFrom::Current(random.below(3000) as i64 - 1600),
        }
    }

    async fn flush(&mut self) -> String {
        let file = self.file.as_mut().unwrap();
        let flushed = kind(file.flush().await);
        super::acknowledge(file);
        flushed
    }

    async fn step(&mut self) -> String {
        let choice = self.random.below(22);
        let at = self.seek();
        let random = &mut self.random;
        let file = self.file.as_mut().unwrap();
        match choice {
            0..=3 => {
                let count = random.below(3000) as usize;
                format!("read {count}: {}", told(read(file, count).await))
            }
            4 | 5 => {
                let bytes = random.bytes(3000);
                let written = kind(file.write(&bytes).await);
                let flushed = self.flush().await;
                format!("write {}: {written}, {flushed}", bytes.len())
            }
            6 => {
                let all: Vec<Vec<u8>> = (0..random.below(1500)).map(|_| random.bytes(3)).collect();
                let slices: Vec<_> = all.iter().map(|part| IoSlice::new(part)).collect();
                let written = kind(file.write_vectored(&slices).await);
                let flushed = self.flush().await;
                format!("write_vectored of {}: {written}, {flushed}", all.len())
            }
            7..=9 => format!("seek {at:?}: {}", told(file.seek(at).await)),
            10 => format!("stream_position: {}", told(file.stream_position().await)),
            11 => {
                let length = *random.one_of(LENGTHS);
                let set = told(file.set_len(length).await);
                format!("set_len {length}: {set}, {}", self.flush().await)
            }
            12 => {
                let found = file.metadata().await;
                let found = found.map(|found| (found.mode(), found.nlink(), found.size()));
                let shown = self.is_plain.then(|| told(found));
                format!("metadata: {shown:?}")
            }
            13 => {
                let synced = (told(file.sync_all().await), told(file.sync_data().await));
                format!("sync: {synced:?}")
            }
            14 => {
                file.set_max_buf_size(1 + random.below(4000) as usize);
                "set_max_buf_size".to_owned()
            }
            15 if self.is_plain => {
                let mode = PermissionsExt::from_mode(0o600 + random.below(0o100) as u32);
                format!(
                    "set_permissions: {}",
                    told(file.set_permissions(mode).await)
                )
            }
            _ => self.share(choice).await,
        }
    }

    /// Steps that let somebody else have the open file.
    async fn share(&mut self, choice: u64) -> String {
        let flushed = self.flush().await;
        let random = &mut self.random;
        let file = self.file.as_mut().unwrap();
        let done = match choice {
            16 => {
                let clone = told(file.try_clone().await.map(drop));
                format!("try_clone: {clone}")
            }
            17 => {
                let of_std = self.file.take().unwrap().into_std().await;
                self.file = Some(File::from_std(of_std));
                "std and back".to_owned()
            }
            18 if self.is_plain => {
                let other = file.as_fd().try_clone_to_owned().unwrap();
                self.others.push(other.into());
                "a second descriptor".to_owned()
            }
            19 if !self.others.is_empty() => {
                let other = self.others.remove(0);
                let mut space = vec![0; 700];
                let read = other.read_at(&mut space, random.below(9000));
                let written = other.write_at(&random.bytes(500), random.below(9000));
                format!(
                    "beside: {}, {}, {}",
                    told(read),
                    told(written),
                    brief(&space)
                )
            }
            20 if self.is_plain => {
                let clone: OwnedFd = file.as_fd().try_clone_to_owned().unwrap();
                let status = Command::new("/bin/sh")
                    .args(["-c", "printf child"])
                    .stdout(Stdio::from(clone))
                    .stderr(Stdio::null())
                    .status();
                format!("child: {:?}", status.map(|status| status.code()).ok())
            }
            _ => {
                // SAFETY: it takes a number that is open, and moves it nowhere.
                let at = unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_CUR) };
                format!("kernel's position: {at}")
            }
        };
        format!("{flushed}, {done}")
    }
}
