//! Whatever kind of descriptor a file was made of, each operation comes to what it comes to with tokio and std: the
//! same result, the same number of the error, and no wait where there is none.
#![cfg(target_os = "linux")]

mod common;
#[path = "descriptors/kinds.rs"]
mod kinds;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use common::{on_each_route, runtime};
use kinds::Kind;
use tidegate::buf::BufError;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// No operation here waits for anybody: who is not done by then waits for ever.
const WAITS: Duration = Duration::from_secs(10);

/// What an operation came to: a number and some bytes, or the error's.
type Came = Result<(u64, Vec<u8>), String>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Read(usize),
    ReadTwice,
    Write(usize),
    WriteTwice,
    ReadAt(usize, u64),
    WriteAt(usize, u64),
    ReadVectoredAt,
    WriteVectoredAt,
    Seek(SeekFrom),
    SeekAndRead,
    Metadata,
    SyncAll,
    SyncData,
    SetLen(u64),
    SetPermissions,
    CloneAndRead,
}

const WORK: [Work; 31] = [
    Work::Read(0),
    Work::Read(1),
    Work::Read(4),
    Work::Read(8),
    Work::Read(64),
    Work::Read(4096),
    Work::ReadTwice,
    Work::Write(0),
    Work::Write(1),
    Work::Write(8),
    Work::Write(100),
    Work::WriteTwice,
    Work::ReadAt(0, 0),
    Work::ReadAt(4, 0),
    Work::ReadAt(64, 0),
    Work::ReadAt(64, 3),
    Work::ReadAt(64, 1 << 62),
    Work::WriteAt(8, 0),
    Work::WriteAt(8, 3),
    Work::ReadVectoredAt,
    Work::WriteVectoredAt,
    Work::Seek(SeekFrom::Start(2)),
    Work::Seek(SeekFrom::Current(0)),
    Work::Seek(SeekFrom::End(0)),
    Work::SeekAndRead,
    Work::Metadata,
    Work::SyncAll,
    Work::SyncData,
    Work::SetLen(2),
    Work::SetPermissions,
    Work::CloneAndRead,
];

fn told<T>(result: io::Result<T>, what: impl FnOnce(T) -> (u64, Vec<u8>)) -> Came {
    result
        .map(what)
        .map_err(|error| match tidegate::raw_os_error(&error) {
            Some(number) => format!("error {number}"),
            None => format!("{:?}", error.kind()),
        })
}

fn seen(metadata: &std::fs::Metadata) -> (u64, Vec<u8>) {
    // How long a socket or an event is, nobody has said.
    (
        u64::from(metadata.mode()),
        metadata.is_file().to_string().into(),
    )
}

fn bytes(length: usize) -> Vec<u8> {
    // A number for events, which take no other.
    let mut bytes = vec![0; length];
    if let Some(first) = bytes.first_mut() {
        *first = 5;
    }
    bytes
}

fn with_std(fd: OwnedFd, work: Work) -> Came {
    let mut file = std::fs::File::from(fd);
    let mut buf = vec![0; 4096];
    let count = |count: usize| (count as u64, Vec::new());
    let read = |file: &mut std::fs::File, buf: &mut [u8]| {
        told(file.read(buf), |count| {
            (count as u64, buf[..count].to_vec())
        })
    };
    match work {
        Work::Read(length) => read(&mut file, &mut buf[..length]),
        Work::ReadTwice => {
            let _ = read(&mut file, &mut buf[..64]);
            read(&mut file, &mut buf[..64])
        }
        Work::Write(length) => told(file.write(&bytes(length)), count),
        Work::WriteTwice => {
            let _ = file.write(&bytes(8));
            told(file.write(&bytes(8)), count)
        }
        Work::ReadAt(length, offset) => told(file.read_at(&mut buf[..length], offset), |count| {
            (count as u64, buf[..count].to_vec())
        }),
        Work::WriteAt(length, offset) => told(file.write_at(&bytes(length), offset), count),
        Work::ReadVectoredAt => {
            let mut parts = [0; 16];
            told(file.read_at(&mut parts, 0), |count| {
                (count as u64, parts[..count].to_vec())
            })
        }
        Work::WriteVectoredAt => told(file.write_at(&bytes(8), 0), count),
        Work::Seek(to) => told(file.seek(to), |position| (position, Vec::new())),
        Work::SeekAndRead => {
            let _ = file.seek(SeekFrom::Start(1));
            read(&mut file, &mut buf[..64])
        }
        Work::Metadata => told(file.metadata(), |metadata| seen(&metadata)),
        Work::SyncAll => told(file.sync_all(), |()| (0, Vec::new())),
        Work::SyncData => told(file.sync_data(), |()| (0, Vec::new())),
        Work::SetLen(length) => told(file.set_len(length), |()| (0, Vec::new())),
        Work::SetPermissions => {
            let permissions = file.metadata().map(|metadata| metadata.permissions());
            told(
                permissions.and_then(|permissions| file.set_permissions(permissions)),
                |()| (0, Vec::new()),
            )
        }
        Work::CloneAndRead => match file.try_clone() {
            Ok(mut clone) => read(&mut clone, &mut buf[..64]),
            Err(error) => told(Err(error), count),
        },
    }
}

/// What both crates have.
macro_rules! shared {
    ($file:ident, $work:ident, $otherwise:expr) => {{
        let mut buf = vec![0; 4096];
        let count = |count: usize| (count as u64, Vec::new());
        match $work {
            Work::Read(length) => told($file.read(&mut buf[..length]).await, |count| {
                (count as u64, buf[..count].to_vec())
            }),
            Work::ReadTwice => {
                let _ = $file.read(&mut buf[..64]).await;
                told($file.read(&mut buf[..64]).await, |count| {
                    (count as u64, buf[..count].to_vec())
                })
            }
            Work::Write(length) => {
                let written = $file.write(&bytes(length)).await;
                let flushed = $file.flush().await;
                told(written.and_then(|written| flushed.map(|()| written)), count)
            }
            Work::WriteTwice => {
                let _ = $file.write(&bytes(8)).await;
                let _ = $file.flush().await;
                let _ = acknowledged!($file);
                let written = $file.write(&bytes(8)).await;
                let flushed = $file.flush().await;
                told(written.and_then(|written| flushed.map(|()| written)), count)
            }
            Work::Seek(to) => told($file.seek(to).await, |position| (position, Vec::new())),
            Work::SeekAndRead => {
                let _ = $file.seek(SeekFrom::Start(1)).await;
                told($file.read(&mut buf[..64]).await, |count| {
                    (count as u64, buf[..count].to_vec())
                })
            }
            Work::Metadata => told($file.metadata().await, |metadata| seen(&metadata)),
            Work::SyncAll => told($file.sync_all().await, |()| (0, Vec::new())),
            Work::SyncData => told($file.sync_data().await, |()| (0, Vec::new())),
            Work::SetLen(length) => told($file.set_len(length).await, |()| (0, Vec::new())),
            Work::SetPermissions => {
                let permissions = $file
                    .metadata()
                    .await
                    .map(|metadata| metadata.permissions());
                told(
                    match permissions {
                        Ok(permissions) => $file.set_permissions(permissions).await,
                        Err(error) => Err(error),
                    },
                    |()| (0, Vec::new()),
                )
            }
            Work::CloneAndRead => match $file.try_clone().await {
                Ok(mut clone) => told(clone.read(&mut buf[..64]).await, |count| {
                    (count as u64, buf[..count].to_vec())
                }),
                Err(error) => told(Err(error), count),
            },
            _ => $otherwise,
        }
    }};
}

/// `None` for what tokio does not have.
async fn with_tokio(fd: OwnedFd, work: Work) -> Option<Came> {
    macro_rules! acknowledged {
        ($file:ident) => {
            ()
        };
    }
    let mut file = tokio::fs::File::from(std::fs::File::from(fd));
    Some(shared!(file, work, return None))
}

async fn with_ours(fd: OwnedFd, work: Work) -> Came {
    macro_rules! acknowledged {
        ($file:ident) => {
            $file.acknowledge()
        };
    }
    fn io_error<B>(error: BufError<B>) -> io::Error {
        error.into()
    }
    let mut file = tidegate::fs::File::from(fd);
    shared!(
        file,
        work,
        match work {
            Work::ReadAt(length, offset) => told(
                file.read_at(vec![0; length], offset)
                    .await
                    .map_err(io_error),
                |(count, mut buf)| {
                    buf.truncate(count);
                    (count as u64, buf)
                }
            ),
            Work::WriteAt(length, offset) => told(
                file.write_at(bytes(length), offset).await.map_err(io_error),
                |(count, _)| (count as u64, Vec::new())
            ),
            Work::ReadVectoredAt => told(
                file.readv_at(vec![vec![0; 8], vec![0; 8]], 0)
                    .await
                    .map_err(io_error),
                |(count, bufs)| {
                    let mut all = bufs.concat();
                    all.truncate(count);
                    (count as u64, all)
                }
            ),
            Work::WriteVectoredAt => told(
                file.writev_at(vec![bytes(8)], 0).await.map_err(io_error),
                |(count, _)| (count as u64, Vec::new())
            ),
            _ => unreachable!(),
        }
    )
}

/// Where this crate does otherwise by its own documentation.
fn is_on_purpose(kind: &Kind, work: Work) -> bool {
    use Work::{ReadAt, ReadVectoredAt, WriteAt, WriteVectoredAt};
    // What has no positions is read and written as it comes.
    let is_at = matches!(
        work,
        ReadAt(..) | ReadVectoredAt | WriteAt(..) | WriteVectoredAt
    );
    is_at && kind.has_no_positions
}

/// What tokio's files say. Those of std do where tokio's have no such operation, or lose the number of an error.
fn expected(kind: &Kind, work: Work) -> Came {
    let runtime = runtime(false);
    let of_tokio = runtime
        .block_on(async { tokio::time::timeout(WAITS, with_tokio((kind.make)(), work)).await });
    runtime.shutdown_background();
    let of_tokio = of_tokio.unwrap_or_else(|_| panic!("{work:?} of {} waits on tokio", kind.name));
    match of_tokio {
        Some(Ok(came)) => Ok(came),
        Some(Err(told)) if told.starts_with("error ") => Err(told),
        _ => with_std((kind.make)(), work),
    }
}

fn compare(all: Vec<Kind>) {
    let mut wrong = Vec::new();
    let cases: Vec<_> = all
        .iter()
        .flat_map(|kind| WORK.into_iter().map(move |work| (kind, work)))
        .filter(|(kind, work)| !is_on_purpose(kind, *work) && !kind.waits_for(*work))
        .map(|(kind, work)| (kind, work, expected(kind, work)))
        .collect();
    let found = std::sync::Mutex::new(Vec::new());
    on_each_route(|route| {
        let (cases, found) = (&cases, &found);
        async move {
            for (kind, work, expected) in cases {
                let ours = tokio::time::timeout(WAITS, with_ours((kind.make)(), *work)).await;
                let ours = ours.unwrap_or(Err("waits".into()));
                if ours != *expected {
                    found.lock().unwrap().push(format!(
                        "{work:?} of {} on {route:?}: {ours:?}, and with std {expected:?}",
                        kind.name
                    ));
                }
            }
        }
    });
    wrong.append(&mut found.lock().unwrap());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn events_of_the_kernel_are_as_with_std() {
    compare(kinds::events());
}

#[test]
fn pipes_sockets_and_terminals_are_as_with_std() {
    compare(kinds::streams());
}

#[test]
fn files_opened_in_odd_ways_are_as_with_std() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    compare(kinds::odd_files(dir.path()));
}

#[test]
fn what_is_made_as_it_is_read_is_as_with_std() {
    compare(kinds::made_up());
}
