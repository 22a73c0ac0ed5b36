//! What no ring can do goes to a thread at once: one attempt, one wake-up, counted under its own way.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tidegate::fs::{self, File, Follow, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{Error, Handle, OpExt, Route};
use tidegate_rig::{Request, files};

use crate::counting::adds_up;
use crate::rows::FILE_BYTES;
use crate::scene::{Outcome, Scene, drained, ensure, in_time, tree};

/// How often operations of a kind began, and went to rings and to threads.
fn counts(handle: &Handle, kind: Kind) -> [u64; 3] {
    let stats = handle.stats();
    let of = stats.ops().find(|op| op.row.kind == kind);
    of.map_or([0; 3], |op| {
        [op.started, op.worker_ring + op.lane_ring, op.pool]
    })
}

/// Does it once, and expects one attempt on a thread.
async fn by_thread<T>(
    handle: &Handle,
    kind: Kind,
    op: impl Future<Output = io::Result<T>>,
) -> Result<(), String> {
    drained(handle).await?;
    let (before, fell_back) = (counts(handle, kind), handle.stats().fallbacks().count());
    let done = in_time(kind.name(), op).await?;
    match done {
        // Not every filesystem has attributes of that kind.
        Err(error) if tidegate::raw_os_error(&error) != Some(libc::EOPNOTSUPP) => {
            return Err(format!("{kind}: {error}"));
        }
        _ => {}
    }
    drained(handle).await?;
    let after = counts(handle, kind);
    let since: [u64; 3] = std::array::from_fn(|at| after[at] - before[at]);
    ensure(
        since == [1, 0, 1],
        format!("{kind}: started, by rings, by threads: {since:?}"),
    )?;
    let now = handle.stats();
    let is_new = now.fallbacks().count() > fell_back;
    ensure(
        !is_new,
        format!("{kind}: {:?}", now.fallbacks().collect::<Vec<_>>()),
    )
}

async fn each(handle: &Handle, dir: &Path) -> Result<(), String> {
    let path = dir.join("slow-0");
    by_thread(handle, Kind::Metadata, fs::metadata(&path)).await?;
    by_thread(handle, Kind::Metadata, fs::symlink_metadata(&path)).await?;
    let mut std = std::fs::OpenOptions::new();
    let options = OpenOptions::from(std.read(true).clone());
    by_thread(handle, Kind::Open, options.open(&path)).await?;
    let xattr = fs::get_xattr(&path, "user.name", Follow::No);
    by_thread(handle, Kind::GetXattr, xattr).await?;
    let mut entries = fs::read_dir(dir).await.map_err(|error| error.to_string())?;
    let entry = entries
        .next_entry()
        .await
        .map_err(|error| error.to_string())?;
    let entry = entry.ok_or("an empty directory")?;
    by_thread(handle, Kind::Metadata, entry.metadata()).await
}

pub(crate) fn on_fuse(scene: Scene) -> Outcome {
    let tree = tree()?;
    files::create(&tree.backing_path().join("slow-0"), FILE_BYTES)?;
    scene.run(async |handle| {
        // What is known of the mount is known after a first look.
        fs::statx(tree.path().join("slow-0")).await?;
        each(&handle, tree.path()).await?;
        let path = tree.path().join("slow-0");
        let file = File::open(&path).await?;
        let nothing = async {
            file.read_at(Vec::new(), 0)
                .await
                .map_err(|error| error.error)
        };
        by_thread(&handle, Kind::Read, nothing).await?;
        by_thread(&handle, Kind::Close, file.close()).await?;
        adds_up(&handle)?;
        Ok(())
    })
}

/// What the kernel leaves to workers of its own even where nothing waits: a thread's call is one hop, a ring's entry two.
pub(crate) fn local(scene: Scene) -> Outcome {
    if scene.route != Route::Auto {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let (kind, none) = (Some("tmpfs"), None::<&str>);
    mount(kind, dir.path(), kind, MsFlags::empty(), none)?;
    let _memory = Mounted(dir.path().to_path_buf());
    let path = dir.path().join("file");
    std::fs::write(&path, "content")?;
    scene.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await?;
        let write = || async { file.write_at("x", 0).await.map_err(|error| error.error) };
        by_thread_when_calm(&handle, Kind::Write, write).await?;
        let parts = || async {
            let written = file.writev_at(vec!["x", "y"], 0).await;
            written.map_err(|error| error.error)
        };
        by_thread_when_calm(&handle, Kind::WriteVectored, parts).await?;
        by_thread_when_calm(&handle, Kind::SyncData, || file.sync_data()).await?;
        by_thread_when_calm(&handle, Kind::SyncAll, || file.sync_all()).await?;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// Does it until it went by a thread: a disk that was slow at the moment before leaves it to a lane.
async fn by_thread_when_calm<T, F: Future<Output = io::Result<T>>>(
    handle: &Handle,
    kind: Kind,
    op: impl Fn() -> F,
) -> Result<(), String> {
    let mut last = Ok(());
    for _ in 0..50 {
        last = by_thread(handle, kind, op()).await;
        if last.is_ok() {
            break;
        }
        // A mount that was seen to stall is left alone for so long.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    last
}

/// How often an overlay is asked, where what others do at a moment can take a path out of the kernel's sight.
const ROUNDS: usize = 100;

/// As every container has it, and as filesystems that count as not local are.
pub(crate) fn on_overlay(scene: Scene) -> Outcome {
    if scene.route == Route::Ring {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let below = |name: &str| dir.path().join(name);
    for name in ["lower", "memory", "merged"] {
        std::fs::create_dir(below(name))?;
    }
    std::fs::write(below("lower/slow-0"), "content")?;
    let none: Option<&str> = None;
    mount(
        Some("tmpfs"),
        &below("memory"),
        Some("tmpfs"),
        MsFlags::empty(),
        none,
    )?;
    let _memory = Mounted(below("memory"));
    for name in ["memory/upper", "memory/work"] {
        std::fs::create_dir(below(name))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        below("lower").display(),
        below("memory/upper").display(),
        below("memory/work").display()
    );
    let merged = below("merged");
    let (kind, flags) = (Some("overlay"), MsFlags::empty());
    if let Err(error) = mount(kind, &merged, kind, flags, Some(&*options)) {
        println!("skip: an_overlay_takes_one_hop: {error}");
        return Ok(());
    }
    let _merged = Mounted(merged.clone());
    scene.run(async |handle| {
        fs::statx(merged.join("slow-0")).await?;
        fs::metadata(merged.join("slow-0")).await?;
        drained(&handle).await?;
        let path = merged.join("slow-0");
        if scene.route == Route::Auto {
            no_more_than_a_call(&handle, &path).await?;
        }
        let (mut clean, mut seen) = (0, String::new());
        for _ in 0..ROUNDS {
            match one_attempt_each(&handle, &path).await? {
                Ok(()) => clean += 1,
                Err(more) => seen = more,
            }
        }
        ensure(2 * clean > ROUNDS, format!("{clean} of {ROUNDS}, {seen}"))?;
        adds_up(&handle)?;
        Ok(())
    })
}

/// Whether each was one attempt, by whichever way, or none where the poll knew it. Where the kernel says at that moment
/// that it does not have a path in memory, its mount is looked for besides.
async fn one_attempt_each(
    handle: &Handle,
    path: &Path,
) -> Result<Result<(), String>, Box<dyn std::error::Error>> {
    let kinds = [Kind::Metadata, Kind::Open, Kind::GetXattr];
    let before = kinds.map(|kind| counts(handle, kind));
    fs::metadata(path).await?;
    let mut std = std::fs::OpenOptions::new();
    OpenOptions::from(std.read(true).clone()).open(path).await?;
    fs::get_xattr(path, "user.name", Follow::No).await?;
    drained(handle).await?;
    for (kind, before) in kinds.into_iter().zip(before) {
        let after = counts(handle, kind);
        let since: [u64; 3] = std::array::from_fn(|at| after[at] - before[at]);
        if since[0] > 1 || since[1] + since[2] > since[0] {
            return Ok(Err(format!("{kind}: {since:?}")));
        }
    }
    Ok(Ok(()))
}

/// What is in memory, asked for one by one, is a thread's call, and nothing more for what the poll looked through. Other
/// mounts and lookups of the moment can make the kernel say that it does not have a path in memory, so not each time.
async fn no_more_than_a_call(handle: &Handle, path: &Path) -> Result<(), String> {
    const KINDS: [Kind; 4] = [Kind::Metadata, Kind::Statx, Kind::Open, Kind::Close];
    let mut seen = String::new();
    for _ in 0..ROUNDS {
        let before = KINDS.map(|kind| counts(handle, kind));
        let done = async {
            fs::metadata(path).await?;
            fs::statx(path).await?;
            File::open(path).await?.close().await
        };
        in_time("a round", done)
            .await?
            .map_err(|error| error.to_string())?;
        drained(handle).await?;
        let after = KINDS.map(|kind| counts(handle, kind));
        let since: [[u64; 3]; 4] = std::array::from_fn(|kind| {
            std::array::from_fn(|at| after[kind][at] - before[kind][at])
        });
        if since == [[1, 0, 1]; 4] {
            return Ok(());
        }
        seen = format!("{KINDS:?}: started, by rings, by threads: {since:?}");
    }
    Err(seen)
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// An error is an answer: nothing is tried again, and a limit is not waited for twice.
pub(crate) fn entry(scene: Scene) -> Outcome {
    const LIMIT: Duration = Duration::from_millis(150);
    let tree = tree()?;
    files::create(&tree.backing_path().join("slow-0"), FILE_BYTES)?;
    scene.run(async |handle| {
        let mut entries = fs::read_dir(tree.path()).await?;
        let entry = entries.next_entry().await?.ok_or("no entry")?;
        drained(&handle).await?;
        let before = counts(&handle, Kind::Metadata);
        let guard = tree.hold(&[Request::Getattr, Request::Lookup], "/slow")?;
        let asked = in_time("the metadata", entry.metadata().timeout(LIMIT)).await?;
        let error = asked.err().ok_or("it was answered")?;
        match Error::from_io(&error) {
            Some(Error::TimedOut { elapsed, .. }) => ensure(
                *elapsed < 2 * LIMIT + Duration::from_secs(1),
                format!("after {elapsed:?}"),
            )?,
            _ => return Err(Failed::from(format!("{error:?}"))),
        }
        let after = counts(&handle, Kind::Metadata);
        let since: [u64; 3] = std::array::from_fn(|at| after[at] - before[at]);
        ensure(
            since == [1, 0, 1],
            format!("started, by rings, by threads: {since:?}"),
        )?;
        guard.release()?;
        drained(&handle).await?;
        adds_up(&handle)?;
        Ok(())
    })
}
