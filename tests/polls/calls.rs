//! The calls, as a caller makes them: each is one future, or one step without one, that is polled by hand.

use std::any::Any;
use std::io;
use std::path::PathBuf;

use tidegate::fs::{self, Dir, File, OpenOptions, Resolve, StatxOptions};
use tidegate::fs::{FileTimes, Follow};

use crate::handles;
use crate::newer;
use crate::watch::{Doing, Kept};

/// What a call works on, as the library sees it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// A directory with the target in it.
    pub(crate) dir: PathBuf,
    /// The target's name.
    pub(crate) name: &'static str,
    /// Where a read reads, and how much.
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl Site {
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    fn other(&self) -> PathBuf {
        self.dir.join("other")
    }
}

/// How a file is opened before the storage is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Direct,
    NoAtime,
    Read,
    ReadWrite,
}

impl How {
    pub(crate) fn writes(self) -> bool {
        self == How::ReadWrite
    }

    pub(crate) fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(self.writes());
        options.direct(self == How::Direct);
        options.no_atime(self == How::NoAtime);
        options
    }
}

pub(crate) enum Act {
    /// By a path.
    Path(fn(Site) -> Doing),
    /// By an open file.
    Handle(How, fn(File, Site) -> Doing),
    /// By a directory that was opened, or listed, before.
    Dir(fn(Dir, Site) -> Doing),
    Entry(fn(fs::DirEntry, fs::ReadDir) -> Doing),
}

pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) act: Act,
    /// Whether it reads the content of a file.
    pub(crate) reads: bool,
}

pub(crate) fn kept<T: Any + Send>(what: T) -> io::Result<Kept> {
    Ok(Box::new(what))
}

/// Errors are answers, too: what a call may answer is the matter of other tests.
pub(crate) fn answer<T: Any + Send, E: Any + Send>(result: Result<T, E>) -> io::Result<Kept> {
    Ok(Box::new(result))
}

pub(crate) fn path(name: &'static str, act: fn(Site) -> Doing) -> Call {
    Call {
        name,
        act: Act::Path(act),
        reads: false,
    }
}

fn opens(site: &Site, choose: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions) -> Doing {
    let (mut options, path) = (OpenOptions::new(), site.path());
    choose(&mut options);
    Box::pin(async move { answer(options.open(path).await) })
}

pub(crate) fn all() -> Vec<Call> {
    // Reads come first: some of what is known of a file is known for a moment only.
    let mut calls = handles::reads();
    calls.extend(whole());
    calls.iter_mut().for_each(|call| call.reads = true);
    calls.extend(looks());
    calls.extend(handles::others());
    calls.extend(newer::all());
    calls.extend(by_options());
    calls.extend(by_dir());
    calls.extend(handles::direct());
    calls.extend(changes());
    calls
}

fn whole() -> Vec<Call> {
    vec![
        path("fs::read", |s| {
            Box::pin(async move { answer(fs::read(s.path()).await) })
        }),
        path("fs::read_to_string", |s| {
            Box::pin(async move { answer(fs::read_to_string(s.path()).await) })
        }),
        path("fs::read_unchanged", |s| {
            Box::pin(async move {
                let expected = fs::Expected::from(&fs::statx(s.path()).await?);
                answer(fs::read_unchanged(s.path(), &expected).await)
            })
        }),
        path("fs::batch, read_unchanged", |s| {
            Box::pin(async move {
                let expected = fs::Expected::from(&fs::statx(s.path()).await?);
                let files = [(s.path(), expected), (s.path(), expected)];
                kept(fs::batch().read_unchanged(files).await)
            })
        }),
        path("fs::lines", |s| {
            Box::pin(async move {
                let mut lines = fs::lines(s.path()).await?;
                answer(lines.next_line().await)
            })
        }),
        path("fs::read, given up", |s| {
            Box::pin(async move {
                let mut read = Box::pin(fs::read(s.path()));
                let first = futures::poll!(&mut read);
                drop(read);
                kept(first)
            })
        }),
    ]
}

fn looks() -> Vec<Call> {
    vec![
        path("fs::metadata", |s| {
            Box::pin(async move { answer(fs::metadata(s.path()).await) })
        }),
        path("fs::symlink_metadata", |s| {
            Box::pin(async move { answer(fs::symlink_metadata(s.path()).await) })
        }),
        path("fs::metadata_many", |s| {
            Box::pin(async move {
                let paths = [s.path(), s.other()];
                kept(fs::metadata_many(&paths, &fs::StatxOptions::new()).await)
            })
        }),
        path("fs::metadata_many of very many", |s| {
            Box::pin(async move {
                let paths = vec![s.path(); 500];
                kept(fs::metadata_many(&paths, &fs::StatxOptions::new()).await)
            })
        }),
        path("fs::batch, open_files", |s| {
            Box::pin(async move {
                let options = OpenOptions::new().read(true).clone();
                kept(fs::batch().open_files([s.path(), s.path()], &options).await)
            })
        }),
        path("fs::read_xattrs", |s| {
            Box::pin(async move { answer(fs::read_xattrs(s.path(), Follow::Links, 1000).await) })
        }),
        path("fs::try_exists", |s| {
            Box::pin(async move { answer(fs::try_exists(s.path()).await) })
        }),
        path("fs::try_exists of another name", |s| {
            Box::pin(async move { answer(fs::try_exists(s.other()).await) })
        }),
        path("fs::statx", |s| {
            Box::pin(async move { answer(fs::statx(s.path()).await) })
        }),
        path("StatxOptions::path", |s| {
            Box::pin(async move { answer(StatxOptions::new().path(s.path()).await) })
        }),
        path("fs::canonicalize", |s| {
            Box::pin(async move { answer(fs::canonicalize(s.path()).await) })
        }),
        path("fs::read_link", |s| {
            Box::pin(async move { answer(fs::read_link(s.path()).await) })
        }),
        path("fs::get_xattr", |s| {
            Box::pin(
                async move { answer(fs::get_xattr(s.path(), "user.none", Follow::Links).await) },
            )
        }),
        path("fs::list_xattrs", |s| {
            Box::pin(async move { answer(fs::list_xattrs(s.path(), Follow::No).await) })
        }),
        path("fs::read_dir", |s| {
            Box::pin(async move {
                let mut list = fs::read_dir(s.path()).await?;
                let next = list.next_entry().await;
                kept((next, list))
            })
        }),
    ]
}

fn by_options() -> Vec<Call> {
    vec![
        path("File::open", |s| opens(&s, |o| o.read(true))),
        path("File::open, given up", |s| {
            Box::pin(async move {
                let mut open = Box::pin(File::open(s.path()));
                let first = futures::poll!(&mut open);
                drop(open);
                kept(first)
            })
        }),
        path("File::open, dropped at once", |s| {
            Box::pin(async move { answer(File::open(s.path()).await.map(drop)) })
        }),
        path("open O_DIRECT", |s| {
            opens(&s, |o| o.read(true).direct(true))
        }),
        path("open O_NOATIME", |s| {
            opens(&s, |o| o.read(true).no_atime(true))
        }),
        path("open O_PATH", |s| {
            opens(&s, |o| o.read(true).custom_flags(libc::O_PATH))
        }),
        path("open O_DIRECTORY", |s| {
            opens(&s, |o| o.read(true).custom_flags(libc::O_DIRECTORY))
        }),
        path("open O_NOFOLLOW", |s| {
            opens(&s, |o| o.read(true).custom_flags(libc::O_NOFOLLOW))
        }),
        path("open O_RDWR", |s| opens(&s, |o| o.read(true).write(true))),
        path("open O_WRONLY O_NONBLOCK", |s| {
            opens(&s, |o| o.write(true).custom_flags(libc::O_NONBLOCK))
        }),
        path("open O_APPEND", |s| opens(&s, |o| o.append(true))),
        path("open O_CREAT", |s| {
            opens(&s, |o| o.write(true).create(true))
        }),
        path("open O_TRUNC", |s| {
            opens(&s, |o| o.write(true).truncate(true))
        }),
        path("open unnamed", |s| {
            Box::pin(async move {
                let mut options = OpenOptions::new();
                answer(options.write(true).unnamed(true).open(s.dir).await)
            })
        }),
    ]
}

pub(crate) fn dir(name: &'static str, act: fn(Dir, Site) -> Doing) -> Call {
    Call {
        name,
        act: Act::Dir(act),
        reads: false,
    }
}

fn entry(name: &'static str, act: fn(fs::DirEntry, fs::ReadDir) -> Doing) -> Call {
    Call {
        name,
        act: Act::Entry(act),
        reads: false,
    }
}

fn by_dir() -> Vec<Call> {
    vec![
        path("Dir::open", |s| {
            Box::pin(async move { answer(Dir::open(s.path()).await) })
        }),
        dir("Dir::open_file", |d, s| {
            Box::pin(async move {
                let mut options = OpenOptions::new();
                kept((d.open_file(s.name, options.read(true)).await, d))
            })
        }),
        dir("Dir::open_file_within", |d, s| {
            Box::pin(async move {
                let (mut options, resolve) = (OpenOptions::new(), Resolve::new().beneath());
                let opened = d.open_file_within(s.name, options.read(true), resolve);
                kept((opened.await, d))
            })
        }),
        dir("Dir::open_dir", |d, s| {
            Box::pin(async move { kept((d.open_dir(s.name).await, d)) })
        }),
        dir("Dir::statx", |d, s| {
            Box::pin(async move { kept((d.statx(s.name).await, d)) })
        }),
        dir("Dir::read_link", |d, s| {
            Box::pin(async move { kept((d.read_link(s.name).await, d)) })
        }),
        dir("Dir::read_dir", |d, _| {
            Box::pin(async move {
                let mut list = d.read_dir().await?;
                let next = list.next_entry().await;
                kept((next, list, d))
            })
        }),
        dir("Dir::sync", |d, _| {
            Box::pin(async move { kept((d.sync().await, d)) })
        }),
        dir("drop of a Dir", |d, _| {
            Box::pin(async move {
                drop(d);
                kept(())
            })
        }),
        entry("DirEntry::metadata", |entry, list| {
            Box::pin(async move { kept((entry.metadata().await, list)) })
        }),
        entry("DirEntry::file_type", |entry, list| {
            Box::pin(async move { kept((entry.file_type().await, list)) })
        }),
        entry("ReadDir::next_entry", |_, mut list| {
            Box::pin(async move {
                while let Some(entry) = list.next_entry().await? {
                    drop(entry);
                }
                kept(list)
            })
        }),
        entry("drop of a ReadDir", |entry, list| {
            Box::pin(async move {
                drop(list);
                kept(entry)
            })
        }),
    ]
}

fn changes() -> Vec<Call> {
    vec![
        path("fs::write", |s| {
            Box::pin(async move { answer(fs::write(s.path(), [7; 8192]).await) })
        }),
        path("fs::write of a new file", |s| {
            Box::pin(async move { answer(fs::write(s.other(), [7; 8192]).await) })
        }),
        path("fs::copy", |s| {
            Box::pin(async move { answer(fs::copy(s.path(), s.other()).await) })
        }),
        path("fs::hard_link", |s| {
            Box::pin(async move { answer(fs::hard_link(s.path(), s.other()).await) })
        }),
        path("fs::batch, hard_links", |s| {
            Box::pin(async move { kept(fs::batch().hard_links([(s.path(), s.other())]).await) })
        }),
        path("fs::symlink", |s| {
            Box::pin(async move { answer(fs::symlink(s.path(), s.other()).await) })
        }),
        path("fs::set_times", |s| {
            Box::pin(async move {
                let times = FileTimes::new().set_modified(std::time::SystemTime::now());
                answer(fs::set_times(s.path(), times, Follow::Links).await)
            })
        }),
        path("fs::create_dir_all", |s| {
            Box::pin(async move { answer(fs::create_dir_all(s.other().join("more")).await) })
        }),
        path("fs::make_fifo", |s| {
            Box::pin(async move { answer(fs::make_fifo(s.other(), 0o600).await) })
        }),
        path("fs::rename", |s| {
            Box::pin(async move { answer(fs::rename(s.path(), s.other()).await) })
        }),
        path("fs::remove_file", |s| {
            Box::pin(async move { answer(fs::remove_file(s.path()).await) })
        }),
        path("fs::remove_dir_all", |s| {
            Box::pin(async move { answer(fs::remove_dir_all(s.path()).await) })
        }),
    ]
}
