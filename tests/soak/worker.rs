//! One task of the soak: it draws operations, ends them as planned, and knows what may have come of them.

use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::{BoxFuture, FutureExt, join_all};
use tidegate::buf::{BufGroup, BufPool, IoBuf};
use tidegate::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::blocks::{BLOCK, Block, filled};
use super::buffers::Guarded;
use super::ending::{End, Plan, Random, run};

/// Blocks of each shared file.
pub(crate) const BLOCKS: usize = 96;
pub(crate) const TASKS: usize = 8;
/// Names that may be there although their operations were given up are removed this many at a time.
const RETIRED: usize = 64;

/// What all tasks share.
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    pub(crate) files: Vec<File>,
    /// Open for both, so that a read of it waits until somebody writes.
    pub(crate) pipe: File,
    pub(crate) pool: BufPool,
    /// Of so few buffers that it runs dry.
    pub(crate) group: BufGroup,
}

/// What an operation did to a block, for whoever keeps the account.
enum Effect {
    Read(usize, Vec<u8>),
    Wrote(usize, u64, End<()>),
    /// This name may be there now, and later.
    Retired(PathBuf),
    None,
}

pub(crate) struct Worker {
    index: usize,
    stage: Arc<Stage>,
    random: Random,
    /// Of the blocks of all files, one after the other, those that this task alone writes.
    blocks: Vec<(usize, Block)>,
    retired: Vec<PathBuf>,
    last: u64,
    is_checked: bool,
}

impl Worker {
    pub(crate) fn new(index: usize, stage: Arc<Stage>, seed: u64) -> Worker {
        let all = 0..stage.files.len() * BLOCKS;
        let mine = all.filter(|place| place % TASKS == index);
        Worker {
            index,
            blocks: mine.map(|place| (place, Block::fresh())).collect(),
            stage,
            random: Random(seed ^ (index as u64) << 32),
            retired: Vec::new(),
            last: (seed & 0xffff) << 24,
            is_checked: true,
        }
    }

    /// One that has no account of what is in the files.
    pub(crate) fn unchecked(index: usize, stage: Arc<Stage>, seed: u64) -> Worker {
        let mut worker = Worker::new(index, stage, seed);
        worker.is_checked = false;
        worker
    }

    /// Runs so many operations, a few at a time.
    pub(crate) async fn work(&mut self, operations: usize) {
        let mut done = 0;
        while done < operations {
            let count = 1 + self.random.below(6) as usize;
            // Each of them has a block of its own.
            let first = self.random.below(self.blocks.len() as u64) as usize;
            let batch: Vec<_> = (0..count)
                .map(|n| self.draw((first + n) % self.blocks.len()))
                .collect();
            for effect in join_all(batch).await {
                self.note(effect);
            }
            done += count;
            if self.retired.len() >= RETIRED {
                for path in std::mem::take(&mut self.retired) {
                    let _ = fs::remove_file(path).await;
                }
            }
        }
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Read(block, bytes) if self.is_checked => {
                let (place, block) = &self.blocks[block];
                block.check(*place, &bytes);
            }
            Effect::Wrote(block, id, end) => match end {
                End::Done(()) => self.blocks[block].1.wrote(id),
                End::Nothing => self.blocks[block].1.has_not_written(id),
                End::Unknown => self.blocks[block].1.may_have_written(id),
            },
            Effect::Retired(path) => self.retired.push(path),
            Effect::Read(..) | Effect::None => {}
        }
    }

    fn id(&mut self) -> u64 {
        self.last += 1;
        (self.index as u64 + 1) << 40 | self.last
    }

    fn name(&mut self, what: &str) -> PathBuf {
        let id = self.id();
        self.stage.dir.join(format!("{what}-{id:x}"))
    }

    /// One operation, which begins when it is polled.
    fn draw(&mut self, block: usize) -> BoxFuture<'static, Effect> {
        let plan = Plan::random(&mut self.random);
        let stage = self.stage.clone();
        let place = self.blocks[block].0;
        match self.random.below(41) {
            0..=8 => read(stage, plan, block, place).boxed(),
            9..=17 => write(stage, plan, block, place, self.id()).boxed(),
            18 | 19 => open(stage, plan, place / BLOCKS).boxed(),
            20 | 21 => metadata(stage, plan).boxed(),
            22 => wait_for_peer(stage, Plan::limited(&mut self.random)).boxed(),
            23 => wait_for_data(stage, Plan::limited(&mut self.random)).boxed(),
            24 | 25 => name(plan, self.name("name")).boxed(),
            26 | 27 => whole(plan, self.name("whole"), self.random.below(9000) as usize).boxed(),
            28 => copy(plan, self.name("copied"), self.random.below(9000) as usize).boxed(),
            29 => cursor(plan, self.name("cursor"), self.random.below(3000) as usize).boxed(),
            30 | 31 => sync(stage, plan, place / BLOCKS).boxed(),
            32 | 33 => read_pooled(stage, plan, block, place).boxed(),
            34..=36 => write_pooled(stage, plan, block, place, self.id()).boxed(),
            37 | 38 => read_provided(stage, plan, block, place).boxed(),
            39 => wait_for_data_provided(stage, Plan::limited(&mut self.random)).boxed(),
            _ => wait_for_data_pooled(stage, Plan::limited(&mut self.random)).boxed(),
        }
    }

    /// All are over: what is in the files now is one of the outcomes that there may be.
    pub(crate) fn check(&self) {
        for (place, block) in &self.blocks {
            let path = self.stage.dir.join(shared(place / BLOCKS));
            let bytes = std::fs::read(path).unwrap();
            let begin = place % BLOCKS * BLOCK;
            block.check(*place, &bytes[begin..begin + BLOCK]);
        }
        for path in &self.retired {
            let _ = std::fs::remove_file(path);
        }
    }
}

pub(crate) fn shared(file: usize) -> String {
    format!("shared-{file}")
}

fn at(place: usize) -> (usize, u64) {
    (place / BLOCKS, (place % BLOCKS * BLOCK) as u64)
}

async fn read(stage: Arc<Stage>, plan: Plan, block: usize, place: usize) -> Effect {
    let (file, offset) = at(place);
    let reading = stage.files[file].read_at(Guarded::to_read(BLOCK), offset);
    match run(plan, "read", reading).await {
        End::Done((count, buf)) => {
            assert_eq!(count, BLOCK, "the file has a fixed length");
            assert!(buf.is_untouched_from(count));
            Effect::Read(block, buf.inner().to_vec())
        }
        _ => Effect::None,
    }
}

async fn write(stage: Arc<Stage>, plan: Plan, block: usize, place: usize, id: u64) -> Effect {
    let (file, offset) = at(place);
    let buf = Guarded::to_write(&filled(place, id));
    let writing = stage.files[file].write_at(buf, offset);
    let end = run(plan, "write", writing).await;
    let end = end.map(|(count, buf)| {
        assert_eq!(count, BLOCK);
        assert!(buf.is_intact());
    });
    Effect::Wrote(block, id, end)
}

async fn read_pooled(stage: Arc<Stage>, plan: Plan, block: usize, place: usize) -> Effect {
    let (file, offset) = at(place);
    let part = stage.pool.get().slice(..BLOCK);
    let reading = stage.files[file].read_fixed_at(part, offset);
    match run(plan, "read", reading).await {
        End::Done((count, part)) => {
            assert_eq!((count, part.len()), (BLOCK, BLOCK));
            Effect::Read(block, part.into_inner().freeze().to_vec())
        }
        _ => Effect::None,
    }
}

async fn write_pooled(
    stage: Arc<Stage>,
    plan: Plan,
    block: usize,
    place: usize,
    id: u64,
) -> Effect {
    let (file, offset) = at(place);
    let mut buf = stage.pool.get();
    buf.extend_from_slice(&filled(place, id));
    let writing = stage.files[file].write_fixed_at(buf, offset);
    let end = run(plan, "write", writing).await;
    let end = end.map(|(count, buf)| {
        assert_eq!(count, BLOCK);
        assert_eq!(buf[..], filled(place, id));
    });
    Effect::Wrote(block, id, end)
}

async fn wait_for_data_pooled(stage: Arc<Stage>, plan: Plan) -> Effect {
    let reading = stage.pipe.read_fixed_at(stage.pool.get().slice(..64), 0);
    if let End::Done((count, part)) = run(plan, "pipe", reading).await {
        assert_eq!(count, part.len());
    }
    Effect::None
}

async fn read_provided(stage: Arc<Stage>, plan: Plan, block: usize, place: usize) -> Effect {
    let (file, offset) = at(place);
    let reading = stage.files[file].read_provided_at(&stage.group, offset);
    match run(plan, "read", reading).await {
        End::Done(buf) => {
            assert_eq!(buf.len(), BLOCK, "the file has a fixed length");
            Effect::Read(block, buf.freeze().to_vec())
        }
        _ => Effect::None,
    }
}

async fn wait_for_data_provided(stage: Arc<Stage>, plan: Plan) -> Effect {
    let mut stream = stage.pipe.read_provided_stream(&stage.group);
    if let End::Done(Some(buf)) = run(plan, "pipe", stream.try_next()).await {
        assert!(!buf.is_empty());
    }
    Effect::None
}

async fn open(stage: Arc<Stage>, plan: Plan, file: usize) -> Effect {
    let opening = File::open(stage.dir.join(shared(file)));
    if let End::Done(file) = run(plan, "open", opening).await {
        let buf = Guarded::to_read(BLOCK);
        let (count, buf) = file.read_at(buf, 0).await.unwrap();
        assert!(buf.is_untouched_from(count));
        if count % 2 == 0 {
            file.close().await.unwrap();
        }
    }
    Effect::None
}

async fn metadata(stage: Arc<Stage>, plan: Plan) -> Effect {
    let asked = fs::metadata(stage.dir.join(shared(0)));
    if let End::Done(metadata) = run(plan, "metadata", asked).await {
        assert_eq!(metadata.len() as usize, BLOCKS * BLOCK);
    }
    Effect::None
}

async fn wait_for_peer(stage: Arc<Stage>, plan: Plan) -> Effect {
    run(plan, "fifo", File::open(stage.dir.join("fifo"))).await;
    Effect::None
}

async fn wait_for_data(stage: Arc<Stage>, plan: Plan) -> Effect {
    let reading = stage.pipe.read_at(Guarded::to_read(64), 0);
    if let End::Done((count, buf)) = run(plan, "pipe", reading).await {
        assert!(buf.is_untouched_from(count));
    }
    Effect::None
}

/// Makes a file and removes it again.
async fn name(plan: Plan, path: PathBuf) -> Effect {
    match run(plan, "create", File::create_new(&path)).await {
        End::Done(file) => drop(file),
        End::Nothing => return Effect::None,
        End::Unknown => return Effect::Retired(path),
    }
    let End::Done(()) = run(plan, "remove", fs::remove_file(&path)).await else {
        return Effect::Retired(path);
    };
    let error = fs::metadata(&path).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    Effect::None
}

fn content(path: &std::path::Path, length: usize) -> Vec<u8> {
    let name = path.to_string_lossy().into_owned().into_bytes();
    name.into_iter().cycle().take(length).collect()
}

/// Writes a file as a whole; what is there of it is a beginning of what was written.
async fn whole(plan: Plan, path: PathBuf, length: usize) -> Effect {
    let expected = content(&path, length);
    match run(plan, "whole", fs::write(&path, expected.clone())).await {
        End::Done(()) => assert_eq!(fs::read(&path).await.unwrap(), expected),
        // It is several operations, and the end that is told is that of one of them.
        End::Nothing | End::Unknown => {
            if let Ok(read) = fs::read(&path).await {
                assert!(expected.starts_with(&read), "{path:?}");
            }
        }
    }
    Effect::Retired(path)
}

async fn copy(plan: Plan, path: PathBuf, length: usize) -> Effect {
    let from = path.with_extension("from");
    let expected = content(&path, length);
    fs::write(&from, expected.clone()).await.unwrap();
    if let End::Done(copied) = run(plan, "copy", fs::copy(&from, &path)).await {
        assert_eq!(copied, length as u64);
        assert_eq!(fs::read(&path).await.unwrap(), expected);
    }
    fs::remove_file(&from).await.unwrap();
    Effect::Retired(path)
}

/// Writes through the cursor, reads back, and appends a little that nobody flushes.
async fn cursor(plan: Plan, path: PathBuf, length: usize) -> Effect {
    let expected = content(&path, length);
    let working = async {
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true);
        let mut file = options.open(&path).await?;
        for part in expected.chunks(700) {
            file.write_all(part).await?;
        }
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await?;
        let mut read = Vec::new();
        file.read_to_end(&mut read).await?;
        assert!(read == expected, "{path:?}");
        file.write_all(b"more").await
    };
    run(plan, "cursor", working).await;
    Effect::Retired(path)
}

async fn sync(stage: Arc<Stage>, plan: Plan, file: usize) -> Effect {
    run(plan, "sync", stage.files[file].sync_data()).await;
    Effect::None
}
