//! The tests, each on a disk of its own.

use std::future::Future;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::common::runtime;
use tidegate::buf::BufPool;
use tidegate::fs;
use tidegate::opcode::Kind;
use tidegate::{Handle, Route};
use tidegate_rig::{FsKind, HeldDisk};

pub(crate) const ALL: [(&str, fn()); 5] = [
    (
        "flags_that_others_set_keep_reads_from_the_poll",
        flags_that_others_set_keep_reads_from_the_poll,
    ),
    (
        "a_file_of_single_pages_is_answered_where_it_is_read_often",
        a_file_of_single_pages_is_answered_where_it_is_read_often,
    ),
    (
        "cold_attributes_take_one_call_on_a_thread",
        cold_attributes_take_one_call_on_a_thread,
    ),
    (
        "going_ahead_ends_with_the_listing",
        going_ahead_ends_with_the_listing,
    ),
    (
        "who_goes_through_a_directory_waits_for_few_entries",
        who_goes_through_a_directory_waits_for_few_entries,
    ),
];

const FILES: usize = 400;
const BYTES: usize = 10;

/// A disk of which nothing is in memory, with files on it.
fn cold_disk() -> HeldDisk {
    let disk = HeldDisk::new(FsKind::Ext4, 64 << 20).unwrap();
    for number in 0..FILES {
        std::fs::write(disk.path().join(format!("{number:04}")), [1; BYTES]).unwrap();
    }
    disk.remount().unwrap();
    disk
}

/// How many of a kind were answered at the poll, by rings, and by threads.
fn counts(handle: &Handle, kind: Kind) -> [u64; 3] {
    let stats = handle.stats();
    let of = stats.ops().find(|op| op.row.kind == kind);
    of.map_or([0; 3], |op| {
        [op.at_poll, op.worker_ring + op.lane_ring, op.pool]
    })
}

fn since(handle: &Handle, kind: Kind, before: [u64; 3]) -> [u64; 3] {
    let now = counts(handle, kind);
    std::array::from_fn(|at| now[at] - before[at])
}

/// Asks until polls answer there, and nothing more is learned of it.
async fn known(handle: &Handle, dir: &Path) {
    let before = counts(handle, Kind::Metadata);
    while since(handle, Kind::Metadata, before)[0] == 0 || handle.stats().in_flight > 0 {
        fs::metadata(dir).await.unwrap();
        tokio::task::yield_now().await;
    }
}

fn on_auto<F: Future<Output = ()>>(test: impl FnOnce(Handle) -> F) {
    runtime(true).block_on(async {
        let handle = Handle::builder().route(Route::Auto).install().unwrap();
        test(handle).await;
    });
}

/// The kernel leaves these to a worker of its own, which is a wake-up more.
fn cold_attributes_take_one_call_on_a_thread() {
    let disk = cold_disk();
    on_auto(async |handle| {
        known(&handle, disk.path()).await;
        for number in (0..FILES).step_by(2 * FILES / 10) {
            let path = |number: usize| disk.path().join(format!("{number:04}"));
            let before = counts(&handle, Kind::Metadata);
            assert_eq!(
                fs::metadata(path(number)).await.unwrap().len(),
                BYTES as u64
            );
            assert_eq!(
                since(&handle, Kind::Metadata, before),
                [0, 0, 1],
                "{number}"
            );
            let before = counts(&handle, Kind::Statx);
            fs::statx(path(number + 1)).await.unwrap();
            assert_eq!(since(&handle, Kind::Statx, before), [0, 0, 1], "{number}");
            let before = counts(&handle, Kind::ReadFile);
            let bytes = fs::read(path(number + 2)).await.unwrap();
            assert_eq!(bytes, [1; BYTES]);
            assert_eq!(
                since(&handle, Kind::ReadFile, before),
                [0, 0, 1],
                "{number}"
            );
        }
    });
}

/// On a disk that is read far ahead a look at many single pages takes longer than a read, but not than many; whoever opened
/// the file.
fn a_file_of_single_pages_is_answered_where_it_is_read_often() {
    const PAGES: u64 = 2048;
    let disk = HeldDisk::new(FsKind::Ext4, 64 << 20).unwrap();
    let device = std::fs::metadata(disk.path()).unwrap().dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let ahead = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    std::fs::write(ahead, "8192").unwrap();
    let path = disk.path().join("pages");
    let written = std::fs::File::create(&path).unwrap();
    for page in 0..PAGES {
        written
            .write_all_at(&[page as u8; 4096], page * 4096)
            .unwrap();
    }
    on_auto(async |handle| {
        known(&handle, disk.path()).await;
        let before = counts(&handle, Kind::Read);
        for round in 0..1000 {
            let reads = (0..64).map(|number| {
                // Far from the end, behind which there is nothing to look at.
                let (page, path) = ((round * 64 + number * 31) % (PAGES / 4), &path);
                async move {
                    let file = fs::File::open(path).await.unwrap();
                    let (count, bytes) = file.read_at(vec![0; 100], page * 4096).await.unwrap();
                    assert!(count == 100 && bytes == [page as u8; 100], "{page}");
                }
            });
            futures::future::join_all(reads).await;
            if since(&handle, Kind::Read, before)[0] > 0 {
                return;
            }
        }
        panic!("no read was answered at the poll");
    });
}

/// What waits for the disk under new flags is not tried at the poll, whoever set them.
fn flags_that_others_set_keep_reads_from_the_poll() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    const BYTES: usize = 4096;
    let disk = HeldDisk::new(FsKind::Ext4, 64 << 20).unwrap();
    let path = disk.path().join("file");
    on_auto(async |handle| {
        let pool = BufPool::builder().count(1).size(BYTES).build();
        let pool = pool.unwrap();
        let read = async |file: &fs::File| {
            let before = counts(&handle, Kind::Read);
            let (count, _) = file
                .read_at(pool.acquire().await.unwrap(), 0)
                .await
                .unwrap();
            assert_eq!(count, BYTES);
            since(&handle, Kind::Read, before)[0]
        };
        for (opened, set) in [
            (OFlag::empty(), OFlag::O_DIRECT),
            (OFlag::O_NOATIME, OFlag::empty()),
        ] {
            std::fs::write(&path, [1; BYTES]).unwrap();
            std::fs::File::open(&path).unwrap().sync_all().unwrap();
            known(&handle, disk.path()).await;
            let mut options = fs::OpenOptions::new();
            let options = options.read(true).custom_flags(opened.bits());
            let file = options.open(&path).await.unwrap();
            // The first ones may set the access time.
            for _ in 0..10_000 {
                if read(&file).await > 0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let flags = fcntl(&file, FcntlArg::F_GETFL).unwrap();
            let flags = OFlag::from_bits_retain(flags);
            assert_eq!(read(&file).await, 1, "{opened:?}: nobody has set any");
            fcntl(&file, FcntlArg::F_SETFL((flags - opened) | set)).unwrap();
            assert_eq!(read(&file).await, 0, "{opened:?} to {set:?}");
        }
    });
}

/// A thread goes ahead of it. What it brings into memory is what the kernel says when it is asked for, and no older.
fn who_goes_through_a_directory_waits_for_few_entries() {
    let disk = cold_disk();
    on_auto(async |handle| {
        known(&handle, disk.path()).await;
        let mut entries = fs::read_dir(disk.path()).await.unwrap();
        let before = counts(&handle, Kind::Metadata);
        let mut asked = 0;
        while let Some(entry) = entries.next_entry().await.unwrap() {
            if !entry.file_type().await.unwrap().is_file() {
                continue;
            }
            asked += 1;
            let mut bytes = BYTES;
            if asked % 10 == 0 {
                // By somebody else, whether or not it was brought.
                bytes = BYTES + asked;
                std::fs::write(entry.path(), vec![2; bytes]).unwrap();
            }
            let metadata = entry.metadata().await.unwrap();
            assert_eq!(metadata.len(), bytes as u64, "{entry:?}");
        }
        assert_eq!(asked, FILES);
        let [at_poll, by_rings, by_threads] = since(&handle, Kind::Metadata, before);
        assert_eq!(by_rings, 0);
        assert!(
            by_threads < FILES as u64 / 2,
            "{at_poll} at the poll, {by_threads} by threads"
        );
    });
}

/// Who asks for no more keeps no disk.
fn going_ahead_ends_with_the_listing() {
    let disk = cold_disk();
    on_auto(async |handle| {
        known(&handle, disk.path()).await;
        let mut entries = fs::read_dir(disk.path()).await.unwrap();
        for _ in 0..FILES / 10 {
            let entry = entries.next_entry().await.unwrap().unwrap();
            entry.metadata().await.unwrap();
        }
        let ahead = counts(&handle, Kind::Prefetch);
        assert_ne!(ahead, [0; 3], "a thread went ahead");
        drop(entries);
        while handle.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        // It is unmounted: nothing is open there.
        let mut tried: io::Result<()> = disk.remount();
        while tried
            .as_ref()
            .is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
        {
            tokio::task::yield_now().await;
            tried = disk.remount();
        }
        tried.unwrap();
    });
}
