//! Every kind of request that a server can leave unanswered, with operations that then hang.

use std::fs as std_fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate::OpExt;
use tidegate::fs::{self, Dir, File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate_rig::{Request, StalledFuse};
use tokio::io::AsyncReadExt;

use crate::stage::{Boxed, FILE_BYTES};

/// An operation under a limit.
pub(crate) struct Op {
    pub(crate) kind: Kind,
    pub(crate) path: Option<PathBuf>,
    pub(crate) future: Boxed<io::Result<()>>,
}

/// On a path, which the error has to name.
fn at(
    kind: Kind,
    path: &Path,
    future: impl Future<Output = io::Result<()>> + Send + 'static,
) -> Op {
    Op {
        kind,
        path: Some(path.to_owned()),
        future: Box::pin(future),
    }
}

/// On an open file.
fn on(kind: Kind, future: impl Future<Output = io::Result<()>> + Send + 'static) -> Op {
    Op {
        kind,
        path: None,
        future: Box::pin(future),
    }
}

/// Operations that a held request stops. Not more than four at a time: past that number of wedged lanes an
/// operation waits its turn, and no server hears of it.
pub(crate) struct Case {
    pub(crate) request: Request,
    pub(crate) ops: fn(Bench, Duration) -> Vec<Op>,
}

const fn case(request: Request, ops: fn(Bench, Duration) -> Vec<Op>) -> Case {
    Case { request, ops }
}

pub(crate) const CASES: &[Case] = &[
    case(Request::Getattr, attributes),
    case(Request::Lookup, lookups),
    case(Request::Open, opens),
    case(Request::Create, creates),
    case(Request::Read, reads),
    case(Request::Write, writes),
    case(Request::Fsync, syncs),
    case(Request::Readdir, listings),
    case(Request::Flush, closes),
    case(Request::Setattr, changes),
    case(Request::Readlink, links),
    case(Request::Namespace, names),
];

/// What the operations work on: made anew for each use, since some of it is used up.
pub(crate) struct Bench {
    paths: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
    link: PathBuf,
    files: Vec<File>,
    dir: Dir,
}

const SEVERAL: usize = 4;

impl Bench {
    /// While the tree answers.
    pub(crate) async fn make(tree: &StalledFuse) -> io::Result<Bench> {
        let (root, behind) = (tree.path(), tree.backing_path());
        let path = |index: usize| format!("slow-{index}");
        let dir = |index: usize| format!("slow-dir-{index}");
        for index in 0..SEVERAL {
            tidegate_rig::files::create(&behind.join(path(index)), FILE_BYTES as u64)?;
            let dir = behind.join(dir(index));
            let _ = std_fs::remove_dir_all(&dir);
            std_fs::create_dir(&dir)?;
            std_fs::write(dir.join("old"), "old")?;
        }
        let link = behind.join("slow-link");
        let _ = std_fs::remove_file(&link);
        std::os::unix::fs::symlink("slow-0", &link)?;
        let paths: Vec<_> = (0..SEVERAL).map(|index| root.join(path(index))).collect();
        let mut files = Vec::new();
        for path in &paths {
            let mut options = OpenOptions::new();
            files.push(options.read(true).write(true).open(path).await?);
        }
        let dirs: Vec<_> = (0..SEVERAL).map(|index| root.join(dir(index))).collect();
        Ok(Bench {
            dir: Dir::open(&dirs[0]).await?,
            paths,
            dirs,
            link: root.join("slow-link"),
            files,
        })
    }

    /// Each file, for an operation of its own.
    fn each<const N: usize>(self) -> [(PathBuf, File); N] {
        let mut each = self.paths.into_iter().zip(self.files);
        std::array::from_fn(|_| each.next().expect("as many as are needed"))
    }
}

fn attributes(bench: Bench, limit: Duration) -> Vec<Op> {
    let [(a, _), (b, _), (c, _), (_, file)] = bench.each();
    vec![
        at(Kind::Metadata, &a.clone(), async move {
            fs::metadata(a).timeout(limit).await.map(drop)
        }),
        at(Kind::Statx, &b.clone(), async move {
            fs::statx(b).timeout(limit).await.map(drop)
        }),
        at(Kind::TryExists, &c.clone(), async move {
            fs::try_exists(c).timeout(limit).await.map(drop)
        }),
        on(Kind::FileMetadata, async move {
            file.metadata().timeout(limit).await.map(drop)
        }),
    ]
}

fn lookups(bench: Bench, limit: Duration) -> Vec<Op> {
    let [(a, _), (b, _), (c, _), (d, _)] = bench.each();
    vec![
        at(Kind::Metadata, &a.clone(), async move {
            fs::symlink_metadata(a).timeout(limit).await.map(drop)
        }),
        at(Kind::Open, &b.clone(), async move {
            File::open(b).timeout(limit).await.map(drop)
        }),
        at(Kind::Canonicalize, &c.clone(), async move {
            fs::canonicalize(c).timeout(limit).await.map(drop)
        }),
        at(Kind::SetPermissions, &d.clone(), async move {
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(d, permissions).timeout(limit).await
        }),
    ]
}

fn opens(bench: Bench, limit: Duration) -> Vec<Op> {
    let dir = bench.dirs[1].clone();
    let [(a, _), (b, _), (c, _)] = bench.each();
    vec![
        at(Kind::Open, &a.clone(), async move {
            File::open(a).timeout(limit).await.map(drop)
        }),
        at(Kind::Open, &b.clone(), async move {
            let mut options = OpenOptions::new();
            options.append(true).open(b).timeout(limit).await.map(drop)
        }),
        at(Kind::ReadFile, &c.clone(), async move {
            fs::read(c).timeout(limit).await.map(drop)
        }),
        at(Kind::ReadDir, &dir.clone(), async move {
            fs::read_dir(dir).timeout(limit).await.map(drop)
        }),
    ]
}

fn creates(bench: Bench, limit: Duration) -> Vec<Op> {
    let (a, b) = (bench.dirs[0].join("new"), bench.dirs[1].join("new"));
    vec![
        at(Kind::Open, &a.clone(), async move {
            File::create_new(a).timeout(limit).await.map(drop)
        }),
        at(Kind::WriteFile, &b.clone(), async move {
            fs::write(b, "new").timeout(limit).await
        }),
    ]
}

fn reads(bench: Bench, limit: Duration) -> Vec<Op> {
    let [(_, a), (_, b), (_, mut c), (d, _)] = bench.each();
    vec![
        on(Kind::Read, async move {
            let read = a.read_at(vec![0; 100], 0).timeout(limit).await;
            read.map(drop).map_err(io::Error::from)
        }),
        on(Kind::Read, async move {
            let read = b.read_exact_at(vec![0; FILE_BYTES], 0).timeout(limit).await;
            read.map(drop).map_err(io::Error::from)
        }),
        on(Kind::Read, async move {
            let mut buf = [0; 100];
            c.read(&mut buf).timeout(limit).await.map(drop)
        }),
        at(Kind::ReadFile, &d.clone(), async move {
            fs::read(d).timeout(limit).await.map(drop)
        }),
    ]
}

fn writes(bench: Bench, limit: Duration) -> Vec<Op> {
    let [(_, a), (_, b), (_, c), (d, _)] = bench.each();
    vec![
        on(Kind::Write, async move {
            let written = a.write_at("written", 0).timeout(limit).await;
            written.map(drop).map_err(io::Error::from)
        }),
        on(Kind::Write, async move {
            let written = b.write_all_at(vec![1; FILE_BYTES], 0).timeout(limit).await;
            written.map(drop).map_err(io::Error::from)
        }),
        on(Kind::WriteVectored, async move {
            let parts = vec![vec![1; 100], vec![2; 100]];
            let written = c.writev_at(parts, 0).timeout(limit).await;
            written.map(drop).map_err(io::Error::from)
        }),
        at(Kind::WriteFile, &d.clone(), async move {
            fs::write(d, "written").timeout(limit).await
        }),
    ]
}

fn syncs(bench: Bench, limit: Duration) -> Vec<Op> {
    let mut files = bench.files.into_iter();
    let mut file = || files.next().expect("as many as are needed");
    let (a, b, dir) = (file(), file(), bench.dir);
    vec![
        on(
            Kind::SyncAll,
            async move { a.sync_all().timeout(limit).await },
        ),
        on(
            Kind::SyncData,
            async move { b.sync_data().timeout(limit).await },
        ),
        on(
            Kind::SyncAll,
            async move { dir.sync().timeout(limit).await },
        ),
    ]
}

fn listings(bench: Bench, limit: Duration) -> Vec<Op> {
    let mut dirs = bench.dirs.into_iter();
    let list = |path: PathBuf| {
        at(Kind::ReadDir, &path.clone(), async move {
            fs::read_dir(path).timeout(limit).await.map(drop)
        })
    };
    dirs.by_ref().take(2).map(list).collect()
}

fn closes(bench: Bench, limit: Duration) -> Vec<Op> {
    let [(_, a), (_, b)] = bench.each();
    [a, b]
        .map(|file| {
            on(
                Kind::Close,
                async move { file.close().timeout(limit).await },
            )
        })
        .into()
}

fn changes(bench: Bench, limit: Duration) -> Vec<Op> {
    let [(_, a), (b, _), (_, c)] = bench.each();
    vec![
        on(
            Kind::SetLen,
            async move { a.set_len(10).timeout(limit).await },
        ),
        at(Kind::SetOwner, &b.clone(), async move {
            fs::set_owner(b, Some(0), None, fs::Follow::Links)
                .timeout(limit)
                .await
        }),
        on(Kind::SetTimes, async move {
            c.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .timeout(limit)
                .await
        }),
    ]
}

fn links(bench: Bench, limit: Duration) -> Vec<Op> {
    let link = bench.link;
    vec![at(Kind::ReadLink, &link.clone(), async move {
        fs::read_link(link).timeout(limit).await.map(drop)
    })]
}

/// Each in a directory of its own, since the kernel changes one after the other.
fn names(bench: Bench, limit: Duration) -> Vec<Op> {
    let (new, old) = (
        |index: usize| bench.dirs[index].join("new"),
        |index: usize| bench.dirs[index].join("old"),
    );
    let (made, removed, moved, linked) = (new(0), old(1), (old(2), new(2)), (old(3), new(3)));
    vec![
        at(Kind::CreateDir, &made.clone(), async move {
            fs::create_dir(made).timeout(limit).await
        }),
        at(Kind::RemoveFile, &removed.clone(), async move {
            fs::remove_file(removed).timeout(limit).await
        }),
        at(Kind::Rename, &moved.0.clone(), async move {
            fs::rename(moved.0, moved.1).timeout(limit).await
        }),
        at(Kind::HardLink, &linked.1.clone(), async move {
            fs::hard_link(linked.0, linked.1).timeout(limit).await
        }),
    ]
}
