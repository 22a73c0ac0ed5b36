//! The loops that the tasks run, the same for every engine.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::job::{Job, Pace};
use crate::ops::{Mode, Ops};
use crate::workload::Op;

/// Opens what the tasks need, and makes them; they start when they are polled. Each ends with its
/// latencies, in nanoseconds.
pub(crate) async fn tasks<E: Ops>(
    job: Arc<Job>,
    indices: Range<usize>,
) -> io::Result<Vec<impl Future<Output = io::Result<Vec<u64>>>>> {
    let mode = match job.workload.op {
        Op::HotRanges | Op::HotRead | Op::ColdRandom | Op::ColdReadAt => Some(Mode::Read),
        Op::DirectRanges | Op::DirectRead => Some(Mode::Direct),
        Op::WriteRandom => Some(Mode::Write),
        _ => None,
    };
    let mut tasks = Vec::with_capacity(indices.len());
    let mut shared: Option<E::File> = None;
    for index in indices {
        let file = match (mode, &shared) {
            (None, _) => None,
            (Some(_), Some(file)) if E::SHARES_FILE => Some(file.clone()),
            (Some(mode), _) => Some(E::open(job.path(), mode).await?),
        };
        shared.clone_from(&file);
        tasks.push(task::<E>(job.clone(), index, file));
    }
    Ok(tasks)
}

async fn task<E: Ops>(job: Arc<Job>, index: usize, file: Option<E::File>) -> io::Result<Vec<u64>> {
    let mut pace = Pace::new(&job, index);
    match (job.workload.op, file) {
        (Op::HotRead | Op::ColdRandom | Op::DirectRead, Some(file)) => {
            reads::<E>(&job, &mut pace, file).await?
        }
        (Op::DirectRanges | Op::HotRanges, Some(file)) => {
            ranges::<E>(&job, &mut pace, file).await?
        }
        (Op::ColdReadAt, Some(file)) => in_order::<E>(&job, &mut pace, file, index).await?,
        (Op::WriteRandom, Some(file)) => writes::<E>(&job, &mut pace, file).await?,
        (Op::Metadata, _) => metadata::<E>(&job, &mut pace).await?,
        (Op::Open, _) => opens::<E>(&job, &mut pace).await?,
        (Op::ReadFile, _) => files::<E>(&job, &mut pace).await?,
        (Op::ColdStream, _) => stream::<E>(&job, &mut pace).await?,
        (Op::WriteSequential, _) => write_in_order::<E>(&job, &mut pace).await?,
        (Op::ColdMetadata, _) => cold_metadata::<E>(&job, &mut pace, index).await?,
        (Op::ColdStatx, _) => cold_statx::<E>(&job, &mut pace, index).await?,
        (Op::ColdOpen, _) => cold_opens::<E>(&job, &mut pace, index).await?,
        (Op::ColdFile, _) => cold_files::<E>(&job, &mut pace, index).await?,
        (Op::ColdList, _) => lists::<E>(&job, &mut pace, index).await?,
        (Op::Create, _) => creates::<E>(&job, &mut pace, index).await?,
        (Op::Copy, _) => copy::<E>(&job, &mut pace).await?,
        (op, None) => unreachable!("{op:?} has a file"),
    }
    Ok(pace.into_samples())
}

/// A benchmark of operations that do nothing would be fast.
fn check(done: usize, asked: usize) -> io::Result<()> {
    if done == asked {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{done} bytes instead of {asked}"),
    ))
}

async fn reads<E: Ops>(job: &Job, pace: &mut Pace, file: E::File) -> io::Result<()> {
    let bytes = job.workload.bytes;
    let places = job.data.size.file_bytes / bytes as u64;
    let mut buf = E::buf(bytes);
    while let Some(began) = pace.begin() {
        let offset = pace.random.u64(..places) * bytes as u64;
        let count;
        (count, buf) = E::read_at(&file, buf, offset).await?;
        check(count, bytes)?;
        pace.end(began, 1);
    }
    Ok(())
}

/// Of whole blocks, as not every engine reads others past the page cache.
async fn ranges<E: Ops>(job: &Job, pace: &mut Pace, file: E::File) -> io::Result<()> {
    const BLOCK: u64 = 4096;
    let most = job.workload.bytes as u64;
    let mut buf = E::buf(job.workload.bytes);
    while let Some(began) = pace.begin() {
        let mut one = || {
            let length = pace.random.u64(most / 8 / BLOCK..=most / BLOCK) * BLOCK;
            let blocks = (job.data.size.file_bytes - length) / BLOCK;
            let start = pace.random.u64(..=blocks) * BLOCK;
            start..start + length
        };
        let ranges: Vec<_> = (0..job.workload.ranges()).map(|_| one()).collect();
        let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        let count;
        (count, buf) = E::read_ranges(&file, buf, &ranges).await?;
        check(count, wanted as usize)?;
        pace.end(began, ranges.len() as u64);
    }
    Ok(())
}

async fn writes<E: Ops>(job: &Job, pace: &mut Pace, file: E::File) -> io::Result<()> {
    let bytes = job.workload.bytes;
    let places = job.data.size.file_bytes / bytes as u64;
    let mut buf = E::buf(bytes);
    while let Some(began) = pace.begin() {
        let offset = pace.random.u64(..places) * bytes as u64;
        let count;
        (count, buf) = E::write_at(&file, buf, offset).await?;
        check(count, bytes)?;
        pace.end(began, 1);
    }
    Ok(())
}

/// Each task its part of the file.
async fn in_order<E: Ops>(
    job: &Job,
    pace: &mut Pace,
    file: E::File,
    task: usize,
) -> io::Result<()> {
    let bytes = job.workload.bytes as u64;
    let buffers = job.data.size.file_bytes.div_ceil(bytes);
    let tasks = job.workload.tasks as u64;
    let start = |task: u64| (buffers * task / tasks * bytes).min(job.data.size.file_bytes);
    let mut buf = E::buf(job.workload.bytes);
    let (mut offset, end) = (start(task as u64), start(task as u64 + 1));
    while offset < end {
        let began = pace.begin().flatten();
        let count;
        (count, buf) = E::read_at(&file, buf, offset).await?;
        check(count.min(1), 1)?;
        offset += count as u64;
        pace.end(began, count as u64);
    }
    Ok(())
}

async fn stream<E: Ops>(job: &Job, pace: &mut Pace) -> io::Result<()> {
    let mut into = vec![0; job.workload.bytes];
    let mut stream = E::open_stream(job.path()).await?;
    let mut total = 0;
    loop {
        let began = pace.begin().flatten();
        let count = E::read_stream(&mut stream, &mut into).await?;
        if count == 0 {
            return check(total, job.data.size.file_bytes as usize);
        }
        total += count;
        pace.end(began, count as u64);
    }
}

async fn write_in_order<E: Ops>(job: &Job, pace: &mut Pace) -> io::Result<()> {
    let bytes = job.workload.bytes;
    let mut buf = E::buf(bytes);
    let file = E::open(&job.scratch.join("sequential"), Mode::Create).await?;
    let mut offset = 0;
    while offset < job.data.size.written_bytes() {
        job.stop.check()?;
        let began = pace.begin().flatten();
        let count;
        (count, buf) = E::write_at(&file, buf, offset).await?;
        check(count, bytes)?;
        offset += count as u64;
        pace.end(began, count as u64);
    }
    E::sync(&file).await?;
    E::close(file).await
}

async fn metadata<E: Ops>(job: &Job, pace: &mut Pace) -> io::Result<()> {
    let paths = &job.data.small;
    while let Some(began) = pace.begin() {
        let path = &paths[pace.random.usize(..paths.len())];
        let len = E::metadata(path).await?;
        check(usize::from(len > 0), 1)?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn files<E: Ops>(job: &Job, pace: &mut Pace) -> io::Result<()> {
    let paths = &job.data.small;
    while let Some(began) = pace.begin() {
        let path = &paths[pace.random.usize(..paths.len())];
        check(E::read(path).await?, job.workload.bytes)?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn cold_metadata<E: Ops>(job: &Job, pace: &mut Pace, task: usize) -> io::Result<()> {
    for path in job.data.small.iter().skip(task).step_by(job.workload.tasks) {
        let began = pace.begin().flatten();
        let len = E::metadata(path).await?;
        check(usize::from(len > 0), 1)?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn cold_statx<E: Ops>(job: &Job, pace: &mut Pace, task: usize) -> io::Result<()> {
    for path in job.data.small.iter().skip(task).step_by(job.workload.tasks) {
        let began = pace.begin().flatten();
        let len = E::statx(path).await?;
        check(usize::from(len > 0), 1)?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn opens<E: Ops>(job: &Job, pace: &mut Pace) -> io::Result<()> {
    let paths = &job.data.small;
    while let Some(began) = pace.begin() {
        let path = &paths[pace.random.usize(..paths.len())];
        E::close(E::open(path, Mode::Read).await?).await?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn cold_opens<E: Ops>(job: &Job, pace: &mut Pace, task: usize) -> io::Result<()> {
    for path in job.data.small.iter().skip(task).step_by(job.workload.tasks) {
        let began = pace.begin().flatten();
        E::close(E::open(path, Mode::Read).await?).await?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn cold_files<E: Ops>(job: &Job, pace: &mut Pace, task: usize) -> io::Result<()> {
    for path in job.data.small.iter().skip(task).step_by(job.workload.tasks) {
        let began = pace.begin().flatten();
        check(E::read(path).await?, job.workload.bytes)?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn lists<E: Ops>(job: &Job, pace: &mut Pace, task: usize) -> io::Result<()> {
    let folders = job.data.folders();
    for folder in folders.iter().skip(task).step_by(job.workload.tasks) {
        let began = pace.begin().flatten();
        let count = E::list(folder).await?;
        check(count.min(1), 1)?;
        pace.end(began, count as u64);
    }
    Ok(())
}

async fn creates<E: Ops>(job: &Job, pace: &mut Pace, task: usize) -> io::Result<()> {
    let mut buf = E::buf(job.workload.bytes);
    for number in 0_u64.. {
        let Some(began) = pace.begin() else { break };
        let path = job.scratch.join(format!("{task:03}-{number:06}"));
        buf = E::create(&path, buf).await?;
        pace.end(began, 1);
    }
    Ok(())
}

async fn copy<E: Ops>(job: &Job, pace: &mut Pace) -> io::Result<()> {
    let began = pace.begin().flatten();
    let count = E::copy(job.path(), &job.scratch.join("copy")).await?;
    check(count as usize, job.data.size.file_bytes as usize)?;
    pace.end(began, count);
    Ok(())
}
