//! Our buffers in the operations of tokio-uring, which the feature of that name is for.
#![cfg(target_os = "linux")]

mod common;

use common::routes;
use tidegate::Handle;
use tidegate::buf::{AlignedBuf, BufPool, IoBuf};
use tidegate::fs::{self, File};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

/// One buffer goes through both crates: read here and written there, read there and written here.
#[test]
fn buffers_are_shared_with_tokio_uring() {
    if let Some(reason) = tidegate::probe::report().ring_reason() {
        return eprintln!("skip: buffers_are_shared_with_tokio_uring: {reason}");
    }
    for route in routes() {
        let dir = tempfile::tempdir().unwrap();
        tokio_uring::start(async {
            Handle::builder().route(route).install().unwrap();
            let ours = {
                std::fs::write(dir.path().join("file"), pattern(4096)).unwrap();
                File::open(dir.path().join("file")).await.unwrap()
            };
            let theirs = tokio_uring::fs::File::create(dir.path().join("theirs"))
                .await
                .unwrap();
            let pool = BufPool::builder().size(4096).build().unwrap();
            let (count, pooled) = ours.read_fixed_at(pool.get(), 0).await.unwrap();
            let (written, pooled) = theirs.write_at(pooled, 0).submit().await;
            assert_eq!((count, written.unwrap()), (4096, 4096));
            let (count, pooled) = ours.read_fixed_at(pooled, 0).await.unwrap();
            assert_eq!((count, &pooled[..]), (4096, &pattern(4096)[..]));

            let buf = AlignedBuf::with_capacity(4096, 4096);
            let (count, buf) = ours.read_at(buf, 0).await.unwrap();
            let (written, buf) = theirs.write_at(buf, 0).submit().await;
            assert_eq!((count, written.unwrap()), (4096, 4096));
            theirs.close().await.unwrap();

            let theirs = tokio_uring::fs::File::open(dir.path().join("theirs"))
                .await
                .unwrap();
            let (count, part) = theirs.read_at(IoBuf::slice(buf, 10..20), 100).await;
            assert_eq!(count.unwrap(), 10);
            assert_eq!(part[..], pattern(4096)[100..110]);
            let ours = File::create(dir.path().join("ours")).await.unwrap();
            let part = ours.write_all_at(part, 0).await.unwrap();
            assert_eq!(fs::read(dir.path().join("ours")).await.unwrap(), part[..]);
            let whole = part.into_inner();
            assert_eq!(whole[..10], pattern(4096)[..10]);
            // Reading into a buffer that is in use does not shorten it.
            let (count, whole) = theirs.read_at(whole, 4090).await;
            assert_eq!((count.unwrap(), whole.len()), (6, 4096));
            theirs.close().await.unwrap();
        });
    }
}
