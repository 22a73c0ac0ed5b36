//! Reads and writes past the page cache and through it: registered memory against plain memory.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::{AlignedBuf, BufPool, IoBufMut};
use tidegate::fs::{File, OpenOptions};
use tidegate::{Handle, Route};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{FILE_BYTES, runtime};
use crate::contest::contest;

/// The flag for I/O past the page cache, where there is one.
#[cfg(target_os = "linux")]
pub(super) const O_DIRECT: i32 = nix::fcntl::OFlag::O_DIRECT.bits();
#[cfg(not(target_os = "linux"))]
pub(super) const O_DIRECT: i32 = 0;

/// Bytes of an operation, tasks that do one at a time, and how many operations a turn has.
const DIRECT: [(usize, usize, usize); 5] = [
    (4 << 10, 1, 4000),
    (4 << 10, 32, 40_000),
    (64 << 10, 8, 8000),
    (1 << 20, 1, 300),
    (1 << 20, 4, 600),
];
/// The same through the page cache, always by the ring.
const CACHED: [(usize, usize, usize); 3] = [
    (4 << 10, 8, 40_000),
    (64 << 10, 8, 20_000),
    (1 << 20, 4, 2000),
];

pub(super) fn run(path: &Path, rounds: usize) -> io::Result<()> {
    for (route, flags, shapes) in [
        (Route::Auto, O_DIRECT, &DIRECT[..]),
        (Route::Ring, 0, &CACHED[..]),
    ] {
        for shape in shapes {
            for writes in [false, true] {
                let runtime = runtime()?;
                runtime.block_on(async { Handle::builder().route(route).install() })?;
                let file = Arc::new(runtime.block_on(open(path, flags))?);
                let work = Work {
                    runtime: &runtime,
                    file: &file,
                    shape: *shape,
                    writes,
                };
                let how = if flags == 0 { "cached" } else { "direct" };
                work.contest(how, rounds)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn open(path: &Path, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags);
    options.open(path).await
}

struct Work<'a> {
    runtime: &'a Runtime,
    file: &'a Arc<File>,
    shape: (usize, usize, usize),
    writes: bool,
}

impl Work<'_> {
    fn contest(&self, how: &str, rounds: usize) -> io::Result<()> {
        let (bytes, tasks, _) = self.shape;
        let pool = BufPool::builder().count(tasks).size(bytes).build()?;
        let plain = || AlignedBuf::with_capacity(bytes, 4096);
        let what = if self.writes { "write" } else { "read" };
        let title = format!("{how} {what} of {} KiB, {tasks} tasks", bytes >> 10);
        let mut contenders: [(_, Box<dyn FnMut() -> _>); 2] = [
            ("plain memory", Box::new(|| self.turn(plain))),
            ("registered", Box::new(|| self.turn(|| pool.get()))),
        ];
        contest(&title, rounds, &mut || Ok(()), &mut contenders)?;
        Ok(())
    }

    /// Each task uses one buffer for all its operations.
    fn turn<B: IoBufMut>(&self, buf: impl Fn() -> B) -> io::Result<u64> {
        let ((bytes, tasks, ops), writes) = (self.shape, self.writes);
        let (ops, mut set) = (ops / tasks, JoinSet::new());
        for task in 0..tasks {
            let (file, buf) = (self.file.clone(), buf());
            let task = async move {
                // What is written later, too.
                let mut buf = file.read_at(buf, 0).await?.1;
                let mut random = fastrand::Rng::with_seed(task as u64);
                for _ in 0..ops {
                    let offset = random.u64(0..FILE_BYTES / bytes as u64) * bytes as u64;
                    let result = if writes {
                        file.write_at(buf, offset).await
                    } else {
                        file.read_at(buf, offset).await
                    };
                    let (count, back) = result.map_err(io::Error::from)?;
                    assert_eq!(count, bytes);
                    buf = back;
                }
                Ok::<_, io::Error>(())
            };
            set.spawn_on(task, self.runtime.handle());
        }
        let done = self.runtime.block_on(set.join_all());
        done.into_iter().collect::<io::Result<()>>()?;
        Ok((ops * tasks) as u64)
    }
}
