//! What comes through a pipe, by ways of reading it. The writer is another process.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use tidegate::buf::BufGroup;
use tidegate::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
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
        let (runtime, group) = (&runtime, &group);
        let turn = |way: Way| -> Box<dyn FnMut() -> _> {
            Box::new(move || {
                let mut writer = Writer::new(bytes, writes)?;
                let total = runtime.block_on(way.read(writer.pipe(), group))?;
                writer.ended(total)
            })
        };
        let title = format!("pipe, written to in pieces of {bytes} bytes; KiB");
        let mut contenders = WAYS.map(|(way, name)| (name, turn(way)));
        contest(&title, rounds, &mut || Ok(()), &mut contenders)?;
        let handle = runtime.block_on(async { tidegate::Handle::current() })?;
        let multishot = handle.stats().submitted("READ_MULTISHOT");
        println!("  READ_MULTISHOT was submitted {multishot} times");
    }
    Ok(())
}

/// A way to read a pipe to its end.
#[derive(Clone, Copy)]
enum Way {
    Multishot,
    Reads,
    TokioFile,
    TokioPipe,
}

const WAYS: [(Way, &str); 4] = [
    (Way::TokioPipe, "tokio's pipe"),
    (Way::TokioFile, "tokio::fs::File"),
    (Way::Reads, "read_at"),
    (Way::Multishot, "multishot"),
];

impl Way {
    /// How many bytes came.
    async fn read(self, pipe: OwnedFd, group: &BufGroup) -> io::Result<usize> {
        match self {
            Way::Multishot => {
                let mut stream = File::from_std(pipe.into()).read_provided_stream(group);
                let mut total = 0;
                while let Some(part) = next(&mut stream).await {
                    total += part?.len();
                }
                Ok(total)
            }
            Way::Reads => {
                let file = File::from_std(pipe.into());
                let (mut buf, mut total) = (Vec::with_capacity(BUF_BYTES), 0);
                loop {
                    let (count, back) = file.read_at(buf, 0).await?;
                    (buf, total) = (back, total + count);
                    if count == 0 {
                        return Ok(total);
                    }
                }
            }
            Way::TokioFile => to_the_end(tokio::fs::File::from_std(pipe.into())).await,
            Way::TokioPipe => to_the_end(Receiver::from_owned_fd(pipe)?).await,
        }
    }
}

async fn to_the_end(mut reader: impl AsyncRead + Unpin) -> io::Result<usize> {
    let (mut buf, mut total) = (vec![0; BUF_BYTES], 0);
    loop {
        match reader.read(&mut buf).await? {
            0 => return Ok(total),
            count => total += count,
        }
    }
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

    /// All of it came.
    fn ended(&mut self, total: usize) -> io::Result<u64> {
        self.child.wait()?;
        assert_eq!(total, self.bytes);
        Ok(total as u64 >> 10)
    }
}
