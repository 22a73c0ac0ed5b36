//! Operations on what is in memory, tracked from one version of the library to the next.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tidegate::fs::{self, File};
use tokio::runtime::{Builder, Runtime};

const FILES: usize = 1000;
const FILE_BYTES: usize = 4096;
const LARGE_BYTES: usize = 64 << 20;

struct Fixture {
    runtime: Runtime,
    large: PathBuf,
    small: Vec<PathBuf>,
    _folder: TempDir,
}

impl Fixture {
    /// Files that were read before, as a service's are, so that no access time update is due.
    fn new() -> std::io::Result<Fixture> {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let large = folder.path().join("large");
        std::fs::write(&large, vec![7; LARGE_BYTES])?;
        let small: Vec<PathBuf> = (0..FILES)
            .map(|index| folder.path().join(index.to_string()))
            .collect();
        for path in &small {
            std::fs::write(path, [7; FILE_BYTES])?;
        }
        for path in small.iter().chain([&large]) {
            std::fs::File::open(path)?.sync_all()?;
            std::fs::read(path)?;
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        Ok(Fixture {
            runtime,
            large,
            small,
            _folder: folder,
        })
    }
}

fn hot(criterion: &mut Criterion) {
    let fixture = Fixture::new().expect("files to work on");
    let mut group = criterion.benchmark_group("hot");
    group.throughput(Throughput::Elements(1));

    let file = fixture
        .runtime
        .block_on(File::open(&fixture.large))
        .expect("a file");
    let mut offsets = (0..LARGE_BYTES as u64).step_by(37 * FILE_BYTES).cycle();
    let mut buf = Some(vec![0; FILE_BYTES]);
    group.bench_function("read_at", |bencher| {
        bencher.iter(|| {
            let (offset, into) = (offsets.next(), buf.take());
            let read = file.read_at(into.unwrap_or_default(), offset.unwrap_or_default());
            let (count, back) = fixture.runtime.block_on(read).expect("a read");
            assert_eq!(count, FILE_BYTES);
            buf = Some(back);
        });
    });

    let mut paths = fixture.small.iter().cycle();
    let mut next = || paths.next().expect("an endless cycle");
    group.bench_function("metadata", |bencher| {
        bencher.iter(|| {
            fixture
                .runtime
                .block_on(fs::metadata(next()))
                .expect("attributes")
        });
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let bytes = fixture.runtime.block_on(fs::read(next())).expect("content");
            assert_eq!(bytes.len(), FILE_BYTES);
        });
    });
    group.finish();
}

criterion_group!(benches, hot);
criterion_main!(benches);
