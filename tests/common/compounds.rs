//! One of each public operation that takes several steps, or many entries, as futures that can be begun anywhere.

use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures::TryStreamExt;
use tidegate::fs::{
    self, AppendOptions, AtomicOptions, CommitBatch, CopyFile, CopyTree, Dir, File,
};
use tidegate::fs::{
    Expected, Follow, OpenOptions, Preserve, Reflink, Space, StatxOptions, WalkDir,
};
use tidegate::fs::{TreeEvent, WalkSort, WritebackPolicy};
use tokio::io::AsyncWriteExt;

pub(crate) type Pending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
type Make = fn(PathBuf) -> Pending;

/// The size of the file that they read: several chunks of each kind.
const FILE_BYTES: usize = 300_000;

/// What they are, each in a directory of its own with a file, a link and a tree in it.
pub(crate) const ALL: [(&str, Make); 23] = [
    ("a walk", |dir| Box::pin(walk(dir))),
    ("a walk with a closure", |dir| Box::pin(mapped_walk(dir))),
    ("a walk that is dropped half-way", |dir| {
        Box::pin(dropped_walk(dir))
    }),
    ("attributes of many", |dir| Box::pin(attributes(dir))),
    ("a batch of opens", |dir| Box::pin(opens(dir))),
    ("batches of changes", |dir| Box::pin(changes(dir))),
    ("batches of changes by a directory", |dir| {
        Box::pin(changes_in(dir))
    }),
    ("appends to a log", |dir| Box::pin(appends(dir))),
    ("a file written atomically", |dir| Box::pin(atomic(dir))),
    ("a batch of commits", |dir| Box::pin(commits(dir))),
    ("a copy with everything", |dir| Box::pin(copy_all(dir))),
    ("a copy of the attributes", |dir| {
        Box::pin(copy_attributes(dir))
    }),
    ("a copy of a tree", |dir| Box::pin(copy_tree(dir))),
    ("a copy of a tree that is dropped half-way", |dir| {
        Box::pin(dropped_copy_tree(dir))
    }),
    ("attributes by name of a file", |dir| Box::pin(xattrs(dir))),
    ("a write that is made durable and handed out", |dir| {
        Box::pin(handed_out(dir))
    }),
    ("a stream", |dir| Box::pin(stream(dir))),
    ("a stream that is dropped half-way", |dir| {
        Box::pin(dropped_stream(dir))
    }),
    ("ranges", |dir| Box::pin(ranges(dir))),
    ("lines", |dir| Box::pin(lines(dir))),
    ("a read of what did not change", |dir| {
        Box::pin(unchanged(dir))
    }),
    ("bounded writes", |dir| Box::pin(bounded(dir))),
    ("a list of a directory handle", |dir| Box::pin(listed(dir))),
];

/// All of them, not begun, on files that are made by std.
pub(crate) fn all(dir: &Path) -> Vec<(&'static str, Pending)> {
    prepare(dir);
    made(dir)
}

/// The same, on files that are there.
pub(crate) fn made(dir: &Path) -> Vec<(&'static str, Pending)> {
    let made = |&(name, make): &(&'static str, Make)| (name, make(dir.join(name)));
    ALL.iter().map(made).collect()
}

/// Makes the files of all of them anew.
pub(crate) fn prepare(dir: &Path) {
    ALL.iter().for_each(|(name, _)| prepare_one(dir.join(name)));
}

fn prepare_one(own: PathBuf) {
    let _ = std::fs::remove_dir_all(&own);
    std::fs::create_dir_all(own.join("tree/a/b")).unwrap();
    std::fs::write(own.join("file"), vec![b'7'; FILE_BYTES]).unwrap();
    std::fs::write(own.join("text"), "one\ntwo\n").unwrap();
    for number in 0..20 {
        std::fs::write(own.join(format!("tree/a/{number}")), "x").unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("file", own.join("link")).unwrap();
}

/// That a call did what it says.
fn ensure(truth: bool, what: &str) -> io::Result<()> {
    match truth {
        true => Ok(()),
        false => Err(io::Error::other(what.to_owned())),
    }
}

fn each<T>(results: Vec<io::Result<T>>) -> io::Result<Vec<T>> {
    results.into_iter().collect()
}

async fn walk(dir: PathBuf) -> io::Result<()> {
    let walk = WalkDir::new(dir.join("tree"));
    let walk = walk.metadata(true).sort(WalkSort::Name).walk();
    let found: Vec<_> = walk.try_collect().await?;
    ensure(found.len() == 23, "a walk that misses something")
}

async fn mapped_walk(dir: PathBuf) -> io::Result<()> {
    let walk = WalkDir::new(dir.join("tree")).map(|entry| std::fs::read(entry.path()).ok());
    let found: Vec<_> = walk.try_collect().await?;
    ensure(found.len() == 20, "a walk that misses a file")
}

async fn dropped_walk(dir: PathBuf) -> io::Result<()> {
    let mut walk = WalkDir::new(dir.join("tree")).walk();
    let first = walk.try_next().await?;
    ensure(first.is_some(), "an empty walk")
}

fn twenty(dir: &Path) -> Vec<PathBuf> {
    let path = |number| dir.join(format!("tree/a/{number}"));
    (0..20).map(path).collect()
}

async fn attributes(dir: PathBuf) -> io::Result<()> {
    let found = fs::metadata_many(twenty(&dir), &StatxOptions::new()).await;
    let found = each(found)?;
    ensure(found.iter().all(|found| found.size() == 1), "wrong sizes")
}

async fn opens(dir: PathBuf) -> io::Result<()> {
    let options = OpenOptions::new().read(true).clone();
    let files = each(fs::batch().open_files(twenty(&dir), &options).await)?;
    ensure(files.len() == 20, "files are missing")
}

async fn changes(dir: PathBuf) -> io::Result<()> {
    let to = |name: &str| dir.join(name);
    each(fs::batch().create_dirs([to("x"), to("y")]).await)?;
    let links = twenty(&dir).into_iter().zip(twenty(&dir));
    let links = links.map(|(from, name)| (from, to("x").join(name.file_name().unwrap())));
    each(fs::batch().hard_links(links).await)?;
    each(fs::batch().symlinks([("file", to("y/link"))]).await)?;
    each(fs::batch().renames([(to("x"), to("z"))]).await)?;
    let gone = (0..20).map(|number| to(&format!("z/{number}")));
    each(fs::batch().in_turn().remove_files(gone).await).map(drop)
}

async fn changes_in(dir: PathBuf) -> io::Result<()> {
    let dir = Dir::open(&dir).await?;
    each(dir.batch().create_dirs(["x"]).await)?;
    each(dir.batch().hard_links([("file", "x/file")]).await)?;
    let found = each(
        dir.metadata_many(["file", "x/file"], &StatxOptions::new())
            .await,
    )?;
    ensure(found[0].ino() == found[1].ino(), "another file")?;
    each(dir.batch().remove_files(["x/file"]).await)?;
    dir.sync().await
}

async fn appends(dir: PathBuf) -> io::Result<()> {
    let options = AppendOptions::new().preallocate(1 << 20, Space::Reserve);
    let log = options.open(dir.join("log")).await?;
    log.append("one\n").await?;
    log.append_sync("two\n").await?;
    let several = (0..10).map(|_| log.append_sync("more\n"));
    futures::future::try_join_all(several).await?;
    log.sync().await?;
    log.close().await?;
    let length = std::fs::metadata(dir.join("log"))?.len();
    ensure(length == 58, "a log of another length")
}

async fn atomic(dir: PathBuf) -> io::Result<()> {
    fs::write_atomic(
        dir.join("whole"),
        vec![1; 50_000],
        AtomicOptions::new().keep_owner(true),
    )
    .await?;
    let mut file = AtomicOptions::new().begin(dir.join("whole"));
    file.write(vec![2; 400_000]).await?;
    file.write(vec![2; 100_000]).await?;
    file.commit().await?;
    drop(AtomicOptions::new().begin(dir.join("never")));
    let is_whole = std::fs::read(dir.join("whole"))? == vec![2; 500_000];
    ensure(is_whole, "not what was committed")
}

async fn commits(dir: PathBuf) -> io::Result<()> {
    let batch = CommitBatch::new(AtomicOptions::new());
    let mut told = Vec::new();
    for number in 0..10 {
        let mut file = batch.begin(dir.join(format!("c{number}"))).await?;
        file.write(vec![3; 10_000]).await?;
        told.push(batch.commit(file).await?);
    }
    futures::future::try_join_all(told).await?;
    let tally = batch.finish().await?;
    ensure(tally.committed == 10, "not all are committed")
}

fn everything() -> Preserve {
    Preserve {
        owner: true,
        times: true,
        xattrs: true,
    }
}

async fn copy_all(dir: PathBuf) -> io::Result<()> {
    let copy = CopyFile::new(dir.join("file"), dir.join("copied")).reflink(Reflink::Never);
    let copy = copy.preserve(everything()).sync(true);
    copy.rename_into_place(true).run().await?;
    let same = std::fs::read(dir.join("file"))? == std::fs::read(dir.join("copied"))?;
    ensure(same, "another copy")
}

async fn copy_attributes(dir: PathBuf) -> io::Result<()> {
    fs::copy_metadata(dir.join("file"), dir.join("text"), everything())
        .await
        .map(drop)
}

async fn copy_tree(dir: PathBuf) -> io::Result<()> {
    let copy = CopyTree::new(dir.join("tree"), dir.join("tree-copied")).preserve(everything());
    let mut copying = copy.start();
    let leftovers = copying.leftovers();
    let mut copied = 0;
    let mut failed = Ok(());
    while let Some(event) = copying.next_event().await {
        match event {
            TreeEvent::Copied(_) => copied += 1,
            TreeEvent::Failed(error) => failed = Err(error.error),
            _ => {}
        }
    }
    failed?;
    let left = leftovers.remove(Duration::from_secs(1)).await;
    ensure(copied == 23 && left.is_empty(), "a tree that is not whole")
}

async fn dropped_copy_tree(dir: PathBuf) -> io::Result<()> {
    let mut copying = CopyTree::new(dir.join("tree"), dir.join("tree-begun")).start();
    match copying.next_event().await {
        Some(TreeEvent::Copied(_)) => Ok(()),
        Some(TreeEvent::Failed(error)) => Err(error.error),
        told => Err(io::Error::other(format!("{told:?}"))),
    }
}

async fn xattrs(dir: PathBuf) -> io::Result<()> {
    let file = File::open(dir.join("file")).await?;
    file.read_xattrs(1 << 16).await?;
    fs::read_xattrs(dir.join("file"), Follow::Links, 1 << 16).await?;
    file.list_xattrs().await.map(drop)
}

async fn handed_out(dir: PathBuf) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .open(dir.join("text"))
        .await?;
    file.writev_all_at(vec!["one\n", "two\n"], 0).await?;
    file.sync_range(0, 8, fs::Writeback::Start).await?;
    file.sync_barrier().await?;
    file.set_times(fs::FileTimes::new().set_modified(std::time::SystemTime::now()))
        .await?;
    let clone = file.try_clone().await?;
    fs::copy(dir.join("text"), dir.join("text-copied")).await?;
    drop(clone.into_tokio().await);
    Ok(())
}

async fn stream(dir: PathBuf) -> io::Result<()> {
    let file = File::open(dir.join("file")).await?;
    let chunks: Vec<_> = file.stream(..).chunk_bytes(50_000).try_collect().await?;
    let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    ensure(bytes == FILE_BYTES, "another length")
}

async fn dropped_stream(dir: PathBuf) -> io::Result<()> {
    let file = File::open(dir.join("file")).await?;
    let mut stream = file.stream(..).chunk_bytes(4096);
    let first = stream.try_next().await?;
    ensure(first.is_some(), "an empty stream")
}

async fn ranges(dir: PathBuf) -> io::Result<()> {
    let file = File::open(dir.join("file")).await?;
    let ranges = [0..100, 200_000..200_500, 150..300, 100_000..290_000];
    let read = file.read_ranges(&ranges).await?;
    ensure(read.len() == 4, "ranges are missing")
}

async fn lines(dir: PathBuf) -> io::Result<()> {
    let mut lines = fs::lines(dir.join("text")).await?;
    let mut count = 0;
    while lines.next_line().await?.is_some() {
        count += 1;
    }
    ensure(count == 2, "lines are missing")
}

async fn unchanged(dir: PathBuf) -> io::Result<()> {
    let expected = Expected::from(&fs::statx(dir.join("file")).await?);
    let read = fs::read_unchanged(dir.join("file"), &expected).await?;
    fs::list_xattrs(dir.join("file"), Follow::Links).await?;
    ensure(read.len() == FILE_BYTES, "another length")
}

async fn bounded(dir: PathBuf) -> io::Result<()> {
    let file = File::create(dir.join("bounded")).await?;
    let mut file = file.with_writeback(WritebackPolicy::new().chunk_bytes(65_536));
    for _ in 0..10 {
        file.write_all(&[5; 40_000]).await?;
    }
    file.sync_all().await
}

async fn listed(dir: PathBuf) -> io::Result<()> {
    let dir = Dir::open(&dir).await?;
    let mut entries = dir.open_dir("tree/a").await?.read_dir().await?;
    let mut count = 0;
    while entries.next_entry().await?.is_some() {
        count += 1;
    }
    ensure(count == 21, "entries are missing")
}
