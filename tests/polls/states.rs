//! The states that storage and files are in when a call is made, and what proves that they are.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::batch::Batch;
use crate::layouts;
use crate::make::{self, FILE_BYTES, each, nothing};
use crate::stage::Fs;
use crate::watch::Sleeper;

/// What a call works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Absent,
    Block,
    Device,
    Dir,
    Fifo,
    File,
    Link,
    Socket,
    Unlinked,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Absent => "absent",
            Target::Block => "block",
            Target::Device => "device",
            Target::Dir => "dir",
            Target::Fifo => "fifo",
            Target::File | Target::Unlinked => "file",
            Target::Link => "link",
            Target::Socket => "socket",
        }
    }
}

/// Through which mount the library sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// One that it has learned.
    Known,
    /// One for each call that it has never seen.
    Fresh,
    /// One that it learned without access times, and that has them now.
    Changed { strict: bool },
}

pub(crate) type Step<T> = fn(&Batch<'_>) -> io::Result<T>;
pub(crate) type Body = Box<dyn FnOnce() + Send>;

/// Something done by std in the same state, which shows that it is one in which it sleeps.
pub(crate) struct Control {
    pub(crate) what: &'static str,
    /// Where it has to.
    pub(crate) sleeps_on: &'static [Fs],
    /// Prepared before the hold, with the files of a call of its own.
    pub(crate) prepare: Step<Body>,
}

pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// Where a read reads.
    pub(crate) offset: u64,
    pub(crate) length: usize,
    /// Whether it differs from another state for reads alone.
    pub(crate) for_reads: bool,
    pub(crate) seen: Seen,
    /// If there is such a state on one variant of a filesystem alone.
    pub(crate) only: Option<Fs>,
    /// Why there is no such state on this filesystem.
    pub(crate) lacks: fn(Fs) -> Option<&'static str>,
    /// Makes the files; then everything is written back and dropped from memory.
    pub(crate) make: Step<()>,
    /// Brings into memory what is to be there.
    pub(crate) warm: Step<()>,
    /// After the library has opened what it opens, and has read once if that is to be.
    pub(crate) primes: bool,
    pub(crate) before: Step<Vec<File>>,
    /// While it is held.
    pub(crate) during: Step<Vec<Sleeper>>,
    pub(crate) control: Option<Control>,
}

fn everywhere(_: Fs) -> Option<&'static str> {
    None
}

pub(crate) fn with_disk(fs: Fs) -> Option<&'static str> {
    (!fs.has_disk()).then_some("it has no disk")
}

pub(crate) fn on_disk_itself(fs: Fs) -> Option<&'static str> {
    match fs {
        Fs::Overlay => Some("the same as that of the filesystem below"),
        _ => with_disk(fs),
    }
}

fn without_server(fs: Fs) -> Option<&'static str> {
    (fs == Fs::Fuse).then_some("the server makes no special files")
}

fn no_sleepers(_: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    Ok(Vec::new())
}

fn no_files(_: &Batch<'_>) -> io::Result<Vec<File>> {
    Ok(Vec::new())
}

pub(crate) const DISKS: &[Fs] = &[Fs::Ext4, Fs::Xfs, Fs::Btrfs];

/// A file of which everything is in memory; the others differ from it.
pub(crate) const CACHED: State = State {
    name: "cached",
    target: Target::File,
    offset: 4096,
    length: 8192,
    for_reads: false,
    seen: Seen::Known,
    only: None,
    lacks: everywhere,
    make: |batch| each(batch, make::file),
    warm: |batch| each(batch, make::warm),
    primes: true,
    before: no_files,
    during: no_sleepers,
    control: None,
};

pub(crate) fn all() -> Vec<State> {
    let mut states = vec![CACHED];
    states.extend(cold());
    states.extend(changed_by_others());
    states.extend(access_times());
    states.extend(mounts());
    states.extend(marks());
    states.extend(locked());
    states.extend(targets());
    states.extend(layouts::all());
    states
}

fn cold() -> Vec<State> {
    vec![
        State {
            name: "names cold",
            lacks: with_disk,
            make: make::lonely,
            warm: nothing,
            primes: false,
            control: Some(Control {
                what: "metadata of a cold name",
                sleeps_on: &[Fs::Ext4, Fs::Xfs, Fs::Btrfs, Fs::Overlay],
                prepare: |batch| {
                    let path = batch.control().join("file");
                    Ok(Box::new(move || drop(fs::metadata(path))))
                },
            }),
            ..CACHED
        },
        State {
            name: "content cold",
            lacks: with_disk,
            warm: |batch| each(batch, make::look),
            primes: false,
            control: Some(read_control("a read of cold content", DISKS)),
            ..CACHED
        },
        State {
            name: "extents cold",
            lacks: with_disk,
            offset: 250 * 8192,
            make: |batch| each(batch, |dir| make::fragmented(dir, 300)),
            warm: |batch| each(batch, make::look),
            primes: false,
            control: Some(read_control("a read at cold extents", DISKS)),
            ..CACHED
        },
        State {
            name: "partly cached, queue full",
            lacks: on_disk_itself,
            offset: 0,
            length: FILE_BYTES,
            warm: |batch| each(batch, |dir| make::warm_pages(dir, 0, 2)),
            primes: false,
            during: make::fill_queue,
            control: Some(read_control("a read of what is not cached", DISKS)),
            ..CACHED
        },
    ]
}

fn changed_by_others() -> Vec<State> {
    let rewritten = |name, during| State {
        name,
        lacks: with_disk,
        make: |batch| each(batch, make::hole),
        warm: |batch| each(batch, make::look),
        primes: false,
        before: make::rewrite_all,
        during,
        control: Some(Control {
            what: "close of a read-only descriptor",
            sleeps_on: DISKS,
            prepare: |batch| {
                let file = File::open(batch.control().join("file"))?;
                Ok(Box::new(move || drop(file)))
            },
        }),
        ..CACHED
    };
    vec![
        State {
            name: "dirty by another descriptor",
            before: |batch| make::all_files(batch, make::dirty),
            ..CACHED
        },
        rewritten("truncated to zero and rewritten", no_sleepers),
        rewritten("rewritten, commit held", make::hold_commit),
        State {
            name: "rewritten in memory",
            lacks: |fs| {
                fs.has_disk()
                    .then_some("see truncated to zero and rewritten")
            },
            before: make::rewrite_all,
            ..CACHED
        },
        State {
            name: "commit held",
            lacks: with_disk,
            before: |batch| make::all_files(batch, make::change_mode),
            during: make::hold_commit,
            ..CACHED
        },
        State {
            name: "preallocated",
            lacks: |fs| (fs == Fs::Fuse).then_some("the server reserves nothing"),
            before: |batch| make::all_files(batch, make::reserve),
            ..CACHED
        },
    ]
}

/// A read of the very bytes that calls read, by a descriptor that was open before.
pub(crate) const fn read_control(what: &'static str, sleeps_on: &'static [Fs]) -> Control {
    Control {
        what,
        sleeps_on,
        prepare: |batch| {
            use std::os::unix::fs::FileExt;
            let file = File::open(batch.control_seen().join("file"))?;
            let offset = batch.state.offset;
            let mut bytes = vec![0; batch.state.length];
            Ok(Box::new(move || drop(file.read_at(&mut bytes, offset))))
        },
    }
}

fn access_times() -> Vec<State> {
    let read = || Some(read_control("a read that owes an access time", &[Fs::Ext4]));
    vec![
        State {
            name: "access time due, commit held",
            lacks: with_disk,
            primes: false,
            before: |batch| make::all_files(batch, make::owe),
            during: make::hold_commit,
            control: read(),
            ..CACHED
        },
        State {
            name: "access time due, inode's block evicted",
            lacks: with_disk,
            primes: false,
            make: |batch| {
                each(batch, make::file)?;
                each(batch, |dir| make::owe(dir).map(drop))
            },
            before: |batch| batch.stage.evict().map(|()| Vec::new()),
            control: read(),
            ..CACHED
        },
        State {
            name: "written through another file just before, commit held",
            lacks: with_disk,
            make: |batch| each(batch, make::settled_just),
            warm: |batch| each(batch, make::read_by_std),
            before: |batch| make::all_files(batch, make::dirty),
            during: make::hold_commit,
            control: read(),
            ..CACHED
        },
    ]
}

fn mounts() -> Vec<State> {
    let read = || Some(read_control("a read that owes an access time", &[Fs::Ext4]));
    vec![
        State {
            name: "noatime made strictatime, commit held",
            lacks: with_disk,
            seen: Seen::Changed { strict: true },
            before: |batch| make::all_files(batch, make::change_mode),
            during: make::hold_commit,
            control: read(),
            ..CACHED
        },
        State {
            name: "noatime made relatime, commit held",
            lacks: with_disk,
            seen: Seen::Changed { strict: false },
            before: |batch| make::all_files(batch, make::owe),
            during: make::hold_commit,
            control: read(),
            ..CACHED
        },
        State {
            name: "never seen",
            seen: Seen::Fresh,
            primes: false,
            ..CACHED
        },
        State {
            name: "never seen, extents cold",
            lacks: with_disk,
            seen: Seen::Fresh,
            offset: 250 * 8192,
            for_reads: true,
            make: |batch| each(batch, |dir| make::fragmented(dir, 300)),
            warm: |batch| each(batch, make::look),
            primes: false,
            control: Some(read_control("a read at cold extents", DISKS)),
            ..CACHED
        },
    ]
}

fn marks() -> Vec<State> {
    vec![
        State {
            name: "another reader's mark, queue full",
            lacks: on_disk_itself,
            length: 4096,
            for_reads: true,
            make: |batch| each(batch, |dir| make::of_length(dir, 1 << 20)),
            warm: |batch| each(batch, make::look),
            primes: false,
            before: |batch| each(batch, |dir| make::mark(dir, &[0], 3)).map(|()| Vec::new()),
            during: make::fill_queue,
            control: Some(read_control("a read of a marked page", DISKS)),
            ..CACHED
        },
        State {
            name: "another reader's mark, extents beyond it cold",
            lacks: |fs| match fs {
                Fs::Ext4 => None,
                Fs::Xfs => Some("it has all extents of a file in memory or none"),
                Fs::Btrfs => Some("where its tree's leaves end is not known"),
                _ => on_disk_itself(fs),
            },
            // The first leaf of an extent tree ends before page 680: what is read on from here begins there.
            offset: 677 * 4096,
            length: 4096,
            for_reads: true,
            make: |batch| each(batch, |dir| make::fragmented(dir, 400)),
            warm: |batch| each(batch, make::look),
            primes: false,
            before: |batch| {
                each(batch, |dir| make::mark(dir, &[675, 676], 678)).map(|()| Vec::new())
            },
            control: Some(read_control("a read of a marked page", &[Fs::Ext4])),
            ..CACHED
        },
    ]
}

fn locked() -> Vec<State> {
    vec![
        State {
            name: "being read by another",
            lacks: with_disk,
            offset: 8 * 4096,
            length: 4096,
            warm: |batch| each(batch, make::look),
            primes: false,
            during: make::read_by_others,
            ..CACHED
        },
        State {
            name: "inode locked by a truncation",
            lacks: |fs| match fs {
                Fs::Btrfs => Some("a truncation reads nothing"),
                _ => with_disk(fs),
            },
            offset: 0,
            length: 4096,
            warm: |batch| each(batch, |dir| make::warm_pages(dir, 0, 2)),
            primes: false,
            during: make::truncate_by_others,
            ..CACHED
        },
        State {
            name: "inode locked by a write",
            lacks: with_disk,
            offset: 0,
            length: 4096,
            warm: |batch| each(batch, |dir| make::warm_pages(dir, 0, 2)),
            primes: false,
            during: make::write_by_others,
            ..CACHED
        },
    ]
}

pub(crate) fn of(name: &'static str, target: Target, make: Step<()>) -> State {
    State {
        name,
        target,
        make,
        warm: |batch| each(batch, |dir| make::look_at(dir, batch.state.target)),
        primes: false,
        ..CACHED
    }
}

fn targets() -> Vec<State> {
    let open_dir = |sleeps_on| {
        Some(Control {
            what: "open of a directory",
            sleeps_on,
            prepare: |batch| {
                let path = batch.control().join("dir");
                Ok(Box::new(move || drop(File::open(path))))
            },
        })
    };
    vec![
        State {
            lacks: with_disk,
            control: open_dir(&[Fs::Xfs, Fs::Btrfs]),
            ..of("directory, blocks cold", Target::Dir, make::directories)
        },
        State {
            lacks: on_disk_itself,
            during: make::create_by_others,
            ..of(
                "directory, locked by a create",
                Target::Dir,
                make::directories,
            )
        },
        State {
            lacks: |fs| fs.has_disk().then_some("see directory, blocks cold"),
            ..of("directory", Target::Dir, make::directories)
        },
        State {
            lacks: without_server,
            ..of("FIFO", Target::Fifo, |batch| each(batch, make::fifo))
        },
        State {
            lacks: without_server,
            ..of("socket", Target::Socket, |batch| each(batch, make::socket))
        },
        State {
            lacks: without_server,
            ..of("device", Target::Device, |batch| each(batch, make::device))
        },
        State {
            lacks: with_disk,
            before: |batch| batch.stage.evict().map(|()| Vec::new()),
            ..of("symbolic link, cold", Target::Link, |batch| {
                each(batch, make::link)
            })
        },
        of("no such name", Target::Absent, nothing),
        unlinked(),
    ]
}

fn unlinked() -> State {
    State {
        name: "unlinked",
        target: Target::Unlinked,
        offset: 250 * 8192,
        make: |batch| {
            let extents = if batch.stage.fs.base() == Fs::Btrfs {
                700
            } else {
                300
            };
            each(batch, |dir| make::fragmented(dir, extents))
        },
        warm: |batch| each(batch, make::look),
        primes: false,
        before: |batch| {
            each(batch, |dir| fs::remove_file(dir.join("file")))?;
            batch.stage.evict().map(|()| Vec::new())
        },
        control: Some(Control {
            what: "the last close of an unlinked file",
            sleeps_on: &[Fs::Ext4, Fs::Btrfs],
            prepare: |batch| {
                let file = File::open(batch.control().join("file"))?;
                Ok(Box::new(move || drop(file)))
            },
        }),
        ..CACHED
    }
}

impl State {
    /// The target's path in the files of one call.
    pub(crate) fn path_in(&self, dir: &std::path::Path) -> PathBuf {
        dir.join(self.target.name())
    }
}
