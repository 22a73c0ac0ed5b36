//! What is read, as `Bytes`: without a copy, and with one.

use std::hint::black_box;
use std::io;
use std::path::Path;

use bytes::Bytes;
use tidegate::buf::BufPool;
use tidegate::fs::File;

use super::{FILE_BYTES, runtime};
use crate::contest::contest;

/// What is read of the file, so that it stays in the page cache.
const HOT_BYTES: u64 = 64 << 20;
const TURN_BYTES: u64 = 2 << 30;

pub(super) fn run(path: &Path, rounds: usize) -> io::Result<()> {
    const { assert!(HOT_BYTES <= FILE_BYTES) };
    let runtime = runtime()?;
    let file = runtime.block_on(File::open(path))?;
    for bytes in [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        let pool = BufPool::builder().count(8).size(bytes).build()?;
        let ops = (TURN_BYTES / bytes as u64).min(200_000);
        let offset = move |op: u64| op % (HOT_BYTES / bytes as u64) * bytes as u64;
        let copied = || {
            runtime.block_on(async {
                let mut buf = Vec::with_capacity(bytes);
                for op in 0..ops {
                    buf.clear();
                    buf = file.read_at(buf, offset(op)).await?.1;
                    black_box(Bytes::copy_from_slice(&buf));
                }
                Ok(ops)
            })
        };
        let allocated = || {
            runtime.block_on(async {
                for op in 0..ops {
                    let buf = Vec::with_capacity(bytes);
                    black_box(Bytes::from(file.read_at(buf, offset(op)).await?.1));
                }
                Ok(ops)
            })
        };
        let pooled = || {
            runtime.block_on(async {
                for op in 0..ops {
                    black_box(file.read_at(pool.get(), offset(op)).await?.1.freeze());
                }
                Ok(ops)
            })
        };
        let title = format!("cached read of {} KiB into Bytes", bytes >> 10);
        let mut contenders: [(_, Box<dyn FnMut() -> _>); 3] = [
            ("a vector used again, and a copy", Box::new(copied)),
            ("a vector for each", Box::new(allocated)),
            ("a buffer of a pool, frozen", Box::new(pooled)),
        ];
        contest(&title, rounds, &mut || Ok(()), &mut contenders)?;
    }
    Ok(())
}
