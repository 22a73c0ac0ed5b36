//! Files that are read past the page cache, at any place and of any length: the bytes are std's.
#![cfg(target_os = "linux")]
#![allow(clippy::single_range_in_vec_init, reason = "one range is a case too")]

mod common;

use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::{on_each_route, on_every_backend};
use futures::{StreamExt, TryStreamExt};
use tidegate::Handle;
use tidegate::fs::{File, OpenOptions};

const BLOCK: u64 = 4096;

fn byte_at(at: u64) -> u8 {
    (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn content(dir: &Path, length: u64) -> PathBuf {
    let path = dir.join(length.to_string());
    let mut file = std::fs::File::create(&path).unwrap();
    let bytes: Vec<u8> = (0..length).map(byte_at).collect();
    file.write_all(&bytes).unwrap();
    // What is not on the disk yet, a read past the cache would have to write there first.
    file.sync_all().unwrap();
    path
}

/// `None` where the filesystem has no such reads.
async fn open(path: &Path) -> Option<File> {
    let opened = OpenOptions::new().read(true).direct(true).open(path).await;
    if opened.is_err() {
        eprintln!("skip: past_the_cache: no direct I/O at {}", path.display());
    }
    opened.ok()
}

fn expected(range: &Range<u64>, length: u64) -> Vec<u8> {
    let end = range.end.min(length).max(range.start.min(length));
    (range.start.min(length)..end).map(byte_at).collect()
}

fn check(ranges: &[Range<u64>], read: &[Bytes], length: u64) {
    assert_eq!(ranges.len(), read.len());
    for (range, bytes) in ranges.iter().zip(read) {
        assert!(*bytes == expected(range, length), "{range:?} of {length}");
    }
}

/// Around the ends of blocks, of the file, and of what is read at a time.
fn places(length: u64) -> Vec<u64> {
    let about = [
        0,
        BLOCK,
        2 * BLOCK,
        64 << 10,
        1 << 20,
        length - length % BLOCK,
        length,
    ];
    let mut places: Vec<u64> = about
        .iter()
        .flat_map(|at| [at.saturating_sub(1), *at, at + 1, at + 511, at + 513])
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// From every such place to every other, each by itself: in memory that is handed on from one to the next.
#[test]
fn ranges_of_any_place_and_length() {
    on_every_backend(|_| async {
        let dir = scratch();
        for length in [0, 1, 511, 4095, 4096, 4097, 10_000, 65_536, 300_007] {
            let Some(file) = open(&content(dir.path(), length)).await else {
                return;
            };
            let places = places(length);
            for (n, from) in places.iter().enumerate() {
                // Every place is an end of some range; which of them, depends on where it begins.
                for to in places[n..].iter().skip(n % 3).step_by(3) {
                    let range = *from..*to;
                    let read = file.read_ranges(std::slice::from_ref(&range)).await;
                    check(&[range], &read.unwrap(), length);
                }
            }
        }
    });
}

/// Many at a time, close together, apart, overlapping and long.
#[test]
fn random_ranges_together() {
    on_each_route(|_| async {
        let (dir, length) = (scratch(), (3 << 20) + 1234);
        let Some(file) = open(&content(dir.path(), length)).await else {
            return;
        };
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut held = Vec::new();
        for _ in 0..20 {
            let mut one = || {
                let most = [10, 5000, 100_000, 2 << 20][random.usize(..4)];
                let from = random.u64(..length + 10_000);
                from..from + random.u64(..most)
            };
            let ranges: Vec<_> = (0..20).map(|_| one()).collect();
            let read = file.read_ranges(&ranges).await.unwrap();
            check(&ranges, &read, length);
            // What is kept stays as it is, whatever is read after it.
            held.push((ranges[0].clone(), read[0].clone()));
        }
        for (range, bytes) in held {
            check(&[range], &[bytes], length);
        }
        let last = i64::MAX as u64;
        assert!(file.read_ranges(&[last - 1..last]).await.unwrap()[0].is_empty());
        assert!(file.read_ranges(&[5..5, 0..0]).await.unwrap()[0].is_empty());
    });
}

#[test]
fn streams_of_any_range_and_chunk() {
    on_every_backend(|_| async {
        let dir = scratch();
        for length in [0, 1, 4096, 10_000, 65_537, 300_007] {
            let Some(file) = open(&content(dir.path(), length)).await else {
                return;
            };
            for chunk in [512, 5000, 12_288, 128 << 10, 1 << 20] {
                for ahead in [0, 4] {
                    let stream =
                        |range: Range<u64>| file.stream(range).chunk_bytes(chunk).read_ahead(ahead);
                    let most = chunk as u64 * 40;
                    for range in [0..length, 1..length + 1, 4095..4097, 777..200_001] {
                        let range = range.start..range.end.min(range.start + most);
                        let chunks: Vec<Bytes> = stream(range.clone()).try_collect().await.unwrap();
                        assert!(chunks.iter().all(|one| (1..=chunk).contains(&one.len())));
                        assert!(
                            chunks.concat() == expected(&range, length),
                            "{range:?} of {length} by {chunk}"
                        );
                    }
                }
            }
            let all: Vec<Bytes> = file.stream(..).try_collect().await.unwrap();
            assert!(all.concat() == expected(&(0..length), length));
        }
    });
}

/// From the second chunk on each block is read once: a chunk ends where a block does.
#[test]
fn no_block_is_read_twice() {
    on_each_route(|_| async {
        let (dir, length) = (scratch(), 1 << 20);
        let Some(file) = open(&content(dir.path(), length)).await else {
            return;
        };
        let reads = || {
            let stats = Handle::current().unwrap().stats();
            let of_reads = stats.ops().filter(|op| op.row.name == "read");
            of_reads.map(|op| op.total()).sum::<u64>()
        };
        let before = reads();
        let chunks: Vec<Bytes> = file
            .stream(100..length)
            .chunk_bytes(64 << 10)
            .try_collect()
            .await
            .unwrap();
        assert_eq!(reads() - before, 16);
        assert_eq!(chunks[0].len(), (64 << 10) - 100);
        assert!(chunks[1..].iter().all(|chunk| chunk.len() == 64 << 10));
    });
}

/// A file that grows is read on from within its last block; one that shrinks ends.
#[test]
fn a_file_that_changes_meanwhile() {
    on_each_route(|_| async {
        let dir = scratch();
        let path = content(dir.path(), 10_000);
        let Some(file) = open(&path).await else {
            return;
        };
        let mut stream = file.stream(..).chunk_bytes(64 << 10).read_ahead(0);
        let first = stream.next().await.unwrap().unwrap();
        assert!(first == expected(&(0..10_000), 10_000));
        let more = std::fs::OpenOptions::new().append(true).open(&path);
        let mut more = more.unwrap();
        let bytes: Vec<u8> = (10_000..20_000).map(byte_at).collect();
        more.write_all(&bytes).unwrap();
        more.sync_all().unwrap();
        let rest: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(rest.concat() == expected(&(10_000..20_000), 20_000));
        let mut stream = file.stream(..).chunk_bytes(4096).read_ahead(2);
        assert_eq!(stream.next().await.unwrap().unwrap().len(), 4096);
        more.set_len(4100).unwrap();
        more.sync_all().unwrap();
        let rest: Vec<Bytes> = stream.try_collect().await.unwrap();
        // What was on its way may have been read before.
        let rest = rest.concat();
        assert!(rest.len() >= 4 && rest == expected(&(4096..4096 + rest.len() as u64), 20_000));
        assert_eq!(file.read_ranges(&[4000..9000]).await.unwrap()[0].len(), 100);
    });
}

/// A pipe of packets has the same flag.
#[test]
fn pipes_of_packets_are_streams() {
    on_each_route(|_| async {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let flags = nix::fcntl::OFlag::O_DIRECT;
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
        let mut writer = std::fs::File::from(writer);
        for part in ["one", "two"] {
            writer.write_all(part.as_bytes()).unwrap();
        }
        drop(writer);
        let file = File::from_std(std::fs::File::from(reader));
        let all: Vec<Bytes> = file.stream(..).try_collect().await.unwrap();
        assert_eq!(all, ["one", "two"]);
    });
}
