//! `Submit::Inline`: reads are tried at once, and are as whole as any.
#![cfg(target_os = "linux")]

mod common;

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tidegate::fs::File;
use tidegate::{Handle, Submit};

const LENGTH: u64 = 300_007;

fn content(range: std::ops::Range<u64>) -> Vec<u8> {
    range
        .map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect()
}

/// A runtime whose default handle submits so.
fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let _in_runtime = runtime.enter();
    Handle::builder().submit(Submit::Inline).install().unwrap();
    runtime.block_on(work);
}

async fn check(file: &File, path: &Path) {
    let std = std::fs::File::open(path).unwrap();
    let length = std.metadata().unwrap().len();
    for offset in [0, 1, 4095, 4096, 100_000, length - 1, length, length + 1] {
        for wanted in [1, 511, 4096, 5000, 70_000, 400_000] {
            let mut expected = vec![0; wanted];
            let count = std.read_at(&mut expected, offset).unwrap();
            let (read, buf) = file
                .read_at(Vec::with_capacity(wanted), offset)
                .await
                .unwrap();
            assert_eq!(read, count, "{wanted} at {offset} of {length}");
            assert!(
                buf[..read] == expected[..count],
                "{wanted} at {offset} of {length}"
            );
        }
    }
}

fn at_poll() -> u64 {
    let stats = Handle::current().unwrap().stats();
    let of_reads = stats.ops().filter(|op| op.row.name == "read");
    of_reads.map(|op| op.at_poll).sum()
}

/// In memory, out of it, in part, and after the file has grown or shrunk.
#[test]
fn reads_are_those_of_std() {
    run(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        let mut writer = std::fs::File::create(&path).unwrap();
        writer.write_all(&content(0..LENGTH)).unwrap();
        writer.sync_all().unwrap();
        let file = File::open(&path).await.unwrap();
        check(&file, &path).await;
        for part in [0..LENGTH, 0..65_536, 90_000..200_000] {
            let (from, length) = (part.start as i64, (part.end - part.start) as i64);
            let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            nix::fcntl::posix_fadvise(&writer, from, length, advice).unwrap();
            check(&file, &path).await;
        }
        writer.write_all(&content(LENGTH..LENGTH + 9000)).unwrap();
        check(&file, &path).await;
        writer.set_len(150_000).unwrap();
        check(&file, &path).await;
    });
}

/// What is in memory takes no ring.
#[test]
fn what_is_in_memory_is_answered_at_the_poll() {
    run(async {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, content(0..LENGTH)).unwrap();
        let filesystem = tidegate::probe::filesystem(dir.path()).unwrap();
        if !filesystem.answers_at_poll || filesystem.fs_type == "tmpfs" {
            return eprintln!("skip: what_is_in_memory_is_answered_at_the_poll: not on a disk");
        }
        let file = File::open(&path).await.unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // The first operations there learn what the mount is.
        let before = at_poll();
        while at_poll() < before + 100 {
            assert!(std::time::Instant::now() < end, "no read is answered");
            let (count, buf) = file.read_at(vec![0; 4096], 8192).await.unwrap();
            assert!(buf[..count] == content(8192..12_288));
        }
    });
}
