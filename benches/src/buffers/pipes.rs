//! What comes through a pipe, by ways of reading it. The writer is another process.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use tidegate::Route;
use tidegate::buf::BufGroup;
use tidegate::fs::File;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::{next, runtime};
use crate::contest::contest;

/// Bytes of each write, and how many writes a turn has.
const SHAPES: [(usize, usize); 3] = [(512, 100_000), (4 << 10, 60_000), (64 << 10, 10_000)];
/// Bytes of a read.
const BUF_BYTES: usize = 64 << 10;

pub(super) fn run(rounds: usize) -> io::Result<()> {
    for (bytes, writes) in SHAPES {
        let runtime = runtime()?;
        let group = BufGroup::builder().count(64).size(BUF_BYTES).build()?;
        // On a lane, so that none is made within a turn.
        let by_group = || {
            let mut writer = Writer::new(bytes, writes)?;
            runtime.block_on(async {
                let mut stream = writer.file()?.read_provided_stream(&group);
                let mut total = 0;
                while let Some(part) = next(&mut stream).await {
                    total += part?.len();
                }
                writer.ended(total)
            })
        };
        let by_reads = || {
            let mut writer = Writer::new(bytes, writes)?;
            runtime.block_on(async {
                let (file, mut total) = (writer.file()?, 0);
                let mut buf = Vec::with_capacity(BUF_BYTES);
                loop {
                    let (count, back) = file.read_at(buf, 0).await?;
                    (buf, total) = (back, total + count);
                    if count == 0 {
                        return writer.ended(total);
                    }
                }
            })
        };
        let by_tokio = || {
            let mut writer = Writer::new(bytes, writes)?;
            runtime.block_on(async {
                let mut pipe = Receiver::from_owned_fd(writer.pipe())?;
                let (mut buf, mut total) = (vec![0; BUF_BYTES], 0);
                loop {
                    match pipe.read(&mut buf).await? {
                        0 => return writer.ended(total),
                        count => total += count,
                    }
                }
            })
        };
        let by_tokio_file = || {
            let mut writer = Writer::new(bytes, writes)?;
            runtime.block_on(async {
                let mut file = tokio::fs::File::from_std(writer.pipe().into());
                let (mut buf, mut total) = (vec![0; BUF_BYTES], 0);
                loop {
                    match file.read(&mut buf).await? {
                        0 => return writer.ended(total),
                        count => total += count,
                    }
                }
            })
        };
        let title = format!("pipe, written to in pieces of {bytes} bytes; KiB");
        let mut contenders: [(_, Box<dyn FnMut() -> _>); 4] = [
            ("tokio's pipe", Box::new(by_tokio)),
            ("tokio::fs::File", Box::new(by_tokio_file)),
            ("read_at", Box::new(by_reads)),
            ("multishot", Box::new(by_group)),
        ];
        contest(&title, rounds, &mut || Ok(()), &mut contenders)?;
        let handle = runtime.block_on(async { tidegate::Handle::current() })?;
        let multishot = handle.stats().submitted("READ_MULTISHOT");
        if handle.route() != Route::Pool {
            println!("  READ_MULTISHOT was submitted {multishot} times");
        }
    }
    Ok(())
}

/// A process that writes zeros.
struct Writer {
    child: Child,
    bytes: usize,
}

impl Writer {
    fn new(bytes: usize, writes: usize) -> io::Result<Writer> {
        let mut command = Command::new("dd");
        command
            .args(["if=/dev/zero", "status=none"])
            .arg(format!("bs={bytes}"))
            .arg(format!("count={writes}"))
            .stdout(Stdio::piped());
        Ok(Writer {
            child: command.spawn()?,
            bytes: bytes * writes,
        })
    }

    /// The end to read from; once.
    fn pipe(&mut self) -> OwnedFd {
        let stdout = self.child.stdout.take();
        stdout.expect("it was not taken before").into()
    }

    fn file(&mut self) -> io::Result<File> {
        Ok(File::from_std(self.pipe().into()))
    }

    /// All of it came.
    fn ended(&mut self, total: usize) -> io::Result<u64> {
        self.child.wait()?;
        assert_eq!(total, self.bytes);
        Ok(total as u64 >> 10)
    }
}
