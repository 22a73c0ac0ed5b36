//! Direct reads and writes: registered memory against plain memory.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::{AlignedBuf, BufPool, IoBufMut};
use tidegate::fs::{File, OpenOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{FILE_BYTES, runtime};
use crate::contest::contest;

/// The flag for I/O past the page cache, where there is one.
#[cfg(target_os = "linux")]
const O_DIRECT: i32 = nix::fcntl::OFlag::O_DIRECT.bits();
#[cfg(not(target_os = "linux"))]
const O_DIRECT: i32 = 0;

/// Bytes of an operation, tasks that do one at a time, and how many operations a turn has.
const SHAPES: [(usize, usize, usize); 4] = [
    (4096, 1, 4000),
    (4096, 32, 40_000),
    (1 << 20, 1, 300),
    (1 << 20, 4, 600),
];

pub(super) fn run(path: &Path, rounds: usize) -> io::Result<()> {
    for (bytes, tasks, ops) in SHAPES {
        for writes in [false, true] {
            let runtime = runtime()?;
            let file = Arc::new(runtime.block_on(open(path))?);
            let pool = BufPool::builder().count(tasks).size(bytes).build()?;
            let plain = || AlignedBuf::with_capacity(bytes, 4096);
            let work = Work {
                runtime: &runtime,
                file: &file,
                bytes,
                tasks,
                ops,
                writes,
            };
            let what = if writes { "write" } else { "read" };
            let title = format!("direct {what} of {} KiB, {tasks} tasks", bytes >> 10);
            let mut contenders: [(_, Box<dyn FnMut() -> _>); 2] = [
                ("plain memory", Box::new(|| work.turn(plain))),
                ("registered", Box::new(|| work.turn(|| pool.get()))),
            ];
            contest(&title, rounds, &mut || Ok(()), &mut contenders)?;
        }
    }
    Ok(())
}

pub(super) async fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(O_DIRECT);
    options.open(path).await
}

struct Work<'a> {
    runtime: &'a Runtime,
    file: &'a Arc<File>,
    bytes: usize,
    tasks: usize,
    ops: usize,
    writes: bool,
}

impl Work<'_> {
    /// Each task uses one buffer for all its operations.
    fn turn<B: IoBufMut>(&self, buf: impl Fn() -> B) -> io::Result<u64> {
        let Work { bytes, writes, .. } = *self;
        let (ops, mut set) = (self.ops / self.tasks, JoinSet::new());
        for task in 0..self.tasks {
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
        Ok((ops * self.tasks) as u64)
    }
}
