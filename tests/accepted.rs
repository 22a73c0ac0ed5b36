//! Whatever looks at a file sees what its cursor has accepted, flushed or not: through the file and through its
//! clones, by every operation.

mod common;

use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;

use common::on_every_backend;
use futures::TryStreamExt;
use tidegate::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Of each operation. Each look was too early in most of a few hundred.
const ROUNDS: usize = 40;
const OLD: usize = 100_000;

/// How the file is looked at.
#[derive(Clone, Copy, Debug)]
enum Look {
    CloneReads,
    CloneSeeks,
    Metadata,
    ReadAt,
    ReadFixed,
    ReadProvided,
    ReadRanges,
    ReadVectored,
    SetLen,
    Statx,
    Stream,
    WriteAt,
}

use Look::*;

const LOOKS: [Look; 12] = [
    CloneReads,
    CloneSeeks,
    Metadata,
    ReadAt,
    ReadFixed,
    ReadProvided,
    ReadRanges,
    ReadVectored,
    SetLen,
    Statx,
    Stream,
    WriteAt,
];

async fn read_write(path: &std::path::Path) -> File {
    std::fs::write(path, vec![b'o'; OLD]).unwrap();
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).await.unwrap()
}

/// What was written is all that is there, from the start.
fn is_new(bytes: impl AsRef<[u8]>, length: usize) -> bool {
    let bytes = bytes.as_ref();
    bytes.len() == length && bytes.iter().all(|&byte| byte == b'n')
}

/// Whether a look finds the new content of so many bytes, at a file whose cursor has just accepted it.
async fn sees(look: Look, file: &File, clone: &mut File, length: usize) -> bool {
    let end = length as u64;
    match look {
        CloneReads => {
            let mut found = vec![0; length];
            clone.rewind().await.unwrap();
            clone.read_exact(&mut found).await.unwrap();
            is_new(found, length)
        }
        CloneSeeks => clone.seek(SeekFrom::End(0)).await.unwrap() == end,
        Metadata => file.metadata().await.unwrap().len() == end,
        ReadAt => is_new(
            file.read_exact_at(vec![0; length], 0).await.unwrap(),
            length,
        ),
        ReadFixed => {
            let read = file.read_fixed_at(Vec::with_capacity(length), 0).await;
            is_new(read.unwrap().1, length)
        }
        ReadProvided => {
            let group = tidegate::buf::BufGroup::builder().build().unwrap();
            let read = file.read_provided_at(&group, 0).await.unwrap();
            is_new(&read, read.len())
        }
        ReadRanges => {
            let ranges = [0..end / 3, end / 3..end];
            let read = file.read_ranges(&ranges).await.unwrap();
            is_new(read.concat(), length)
        }
        ReadVectored => {
            let bufs = vec![
                Vec::with_capacity(length / 2),
                Vec::with_capacity(length - length / 2),
            ];
            let read = file.read_vectored_fixed_at(bufs, 0).await.unwrap();
            is_new(read.1.concat(), length)
        }
        SetLen => {
            file.set_len(5).await.unwrap();
            file.metadata().await.unwrap().len() == 5
        }
        Statx => file.statx().await.unwrap().size() == end,
        Stream => {
            let chunks: Vec<_> = file.stream(..).try_collect().await.unwrap();
            is_new(chunks.concat(), length)
        }
        WriteAt => {
            file.write_all_at("later", 7).await.unwrap();
            &file.read_exact_at(vec![0; 5], 7).await.unwrap() == b"later"
        }
    }
}

#[test]
fn what_a_cursor_has_accepted_is_seen_by_whatever_looks() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let length = 2 * OLD;
    on_every_backend(|route| {
        let path = disk.path().join("file");
        async move {
            for look in LOOKS {
                for round in 0..ROUNDS {
                    let mut file = read_write(&path).await;
                    let mut clone = file.try_clone().await.unwrap();
                    let other = file.try_clone().await.unwrap();
                    // In some the position is the kernel's.
                    if round % 4 == 3 {
                        use std::os::fd::AsRawFd;
                        assert!(clone.as_raw_fd() >= 0);
                    }
                    file.write_all(&vec![b'n'; length]).await.unwrap();
                    let by = if round % 2 == 0 { &file } else { &other };
                    assert!(
                        sees(look, by, &mut clone, length).await,
                        "{look:?} was too early on {route:?}"
                    );
                    file.flush().await.unwrap();
                }
            }
        }
    });
}
