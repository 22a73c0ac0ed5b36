//! Open directories: what a rename cannot redirect, and what restrictions keep out (R83).

mod common;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{on_each_route, on_every_backend};
use tidegate::fs::{self, Dir, FileKind, OpenOptions, RenameMode, Resolve};

fn reading() -> OpenOptions {
    OpenOptions::new().read(true).clone()
}

async fn text(dir: &Dir, path: &str) -> String {
    let file = dir.open_file(path, &reading()).await.unwrap();
    let (_, bytes) = file.read_at(vec![0; 100], 0).await.unwrap();
    String::from_utf8(bytes)
        .unwrap()
        .trim_end_matches('\0')
        .to_owned()
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries
        .map(name)
        .map(|name| name.into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A directory that is renamed, and replaced by another, stays the one that was opened.
#[test]
fn a_rename_of_the_directory_redirects_nothing() {
    on_every_backend(|_| async {
        let root = tempfile::tempdir().unwrap();
        let (old, moved) = (root.path().join("old"), root.path().join("moved"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("file"), "ours").unwrap();
        let dir = Dir::open(&old).await.unwrap();
        std::fs::rename(&old, &moved).unwrap();
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("file"), "theirs").unwrap();
        assert_eq!(text(&dir, "file").await, "ours");
        dir.create_dir("sub").await.unwrap();
        let sub = dir.open_dir("sub").await.unwrap();
        dir.rename("file", &sub, "renamed").await.unwrap();
        assert_eq!(text(&dir, "sub/renamed").await, "ours");
        sub.hard_link("renamed", &dir, "linked").await.unwrap();
        dir.symlink("linked", "soft").await.unwrap();
        assert_eq!(dir.read_link("soft").await.unwrap(), Path::new("linked"));
        sub.remove_file("renamed").await.unwrap();
        dir.remove_dir("sub").await.unwrap();
        dir.sync().await.unwrap();
        assert_eq!(names(&moved), ["linked", "soft"]);
        assert_eq!(names(&old), ["file"]);
        let error = dir.remove_file("missing").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
    });
}

/// Whether there is `openat2`, without which every restriction is refused as such.
async fn restricts(dir: &Dir) -> bool {
    let within = Resolve::new().no_magiclinks();
    let opened = dir.open_dir_within(".", within).await;
    opened.is_ok_and(|_| true)
}

/// The ways out of a directory, each of which a restriction closes.
#[test]
fn restrictions_close_the_ways_out() {
    on_every_backend(|_| async {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::write(root.path().join("secret"), "secret").unwrap();
        std::fs::write(inside.join("file"), "file").unwrap();
        for (to, link) in [
            ("../secret", "up"),
            ("/etc/passwd", "absolute"),
            ("file", "near"),
        ] {
            std::os::unix::fs::symlink(to, inside.join(link)).unwrap();
        }
        let dir = Dir::open(&inside).await.unwrap();
        if !restricts(&dir).await {
            return eprintln!("skip: restrictions_close_the_ways_out: no openat2");
        }
        let kind = async |path: &str, within: Resolve| {
            let opened = dir.open_file_within(path, &reading(), within).await;
            opened
                .map(drop)
                .map_err(|error| error.raw_os_error().unwrap())
        };
        let beneath = Resolve::new().beneath();
        for out in [
            "..",
            "../secret",
            "sub/../../secret",
            "up",
            "absolute",
            "/etc/passwd",
        ] {
            assert_eq!(kind(out, beneath).await, Err(libc::EXDEV), "{out}");
        }
        for fine in ["file", "near", "sub/../file", "."] {
            assert_eq!(kind(fine, beneath).await, Ok(()), "{fine}");
        }
        let in_root = Resolve::new().in_root();
        assert_eq!(kind("/file", in_root).await, Ok(()));
        assert_eq!(kind("../../file", in_root).await, Ok(()));
        assert_eq!(kind("absolute", in_root).await, Err(libc::ENOENT));
        let no_symlinks = Resolve::new().no_symlinks();
        assert_eq!(kind("near", no_symlinks).await, Err(libc::ELOOP));
        assert_eq!(
            kind("/proc/version", Resolve::new().no_xdev()).await,
            Err(libc::EXDEV)
        );
        let no_magiclinks = Resolve::new().no_magiclinks();
        assert_eq!(
            kind("/proc/self/exe", no_magiclinks).await,
            Err(libc::ELOOP)
        );
    });
}

/// What was opened within a directory is a directory to stay in, too.
#[test]
fn directories_within_are_restricted_by_themselves() {
    on_every_backend(|_| async {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sub")).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let dir = Dir::open(root.path()).await.unwrap();
        if !restricts(&dir).await {
            return eprintln!("skip: directories_within_are_restricted_by_themselves: no openat2");
        }
        let beneath = Resolve::new().beneath();
        let error = dir.open_dir_within("..", beneath).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{error}");
        let sub = dir
            .open_dir_within("sub", beneath.no_symlinks())
            .await
            .unwrap();
        let above = sub.open_file_within("../file", &reading(), beneath).await;
        assert_eq!(above.unwrap_err().kind(), ErrorKind::CrossesDevices);
        let mut making = OpenOptions::new();
        let making = making.write(true).create_new(true).mode(0o640);
        sub.open_file_within("made", making, beneath).await.unwrap();
        assert_eq!(names(&root.path().join("sub")), ["made"]);
    });
}

/// Names that change during the walk make it try again, and never lead out.
#[test]
fn a_walk_that_races_with_renames_never_leads_out() {
    on_each_route(|_| async {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        std::fs::create_dir_all(inside.join("a/b")).unwrap();
        std::fs::write(root.path().join("file"), "secret").unwrap();
        std::fs::write(inside.join("file"), "inside").unwrap();
        let dir = Dir::open(&inside).await.unwrap();
        if !restricts(&dir).await {
            return eprintln!("skip: a_walk_that_races_with_renames_never_leads_out: no openat2");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mover = std::thread::spawn({
            let (stop, root) = (stop.clone(), root.path().to_path_buf());
            move || {
                let (within, without) = (root.join("inside/a/b"), root.join("b"));
                while !stop.load(Ordering::Relaxed) {
                    std::fs::rename(&within, &without).unwrap();
                    std::fs::rename(&without, &within).unwrap();
                }
            }
        });
        let beneath = Resolve::new().beneath();
        let mut found = 0;
        for _ in 0..300 {
            match dir
                .open_file_within("a/b/../../file", &reading(), beneath)
                .await
            {
                Ok(file) => {
                    let bytes = file.read_exact_at(vec![0; 6], 0).await.unwrap();
                    assert_eq!(bytes, b"inside");
                    found += 1;
                }
                Err(error) => assert!(
                    [
                        ErrorKind::NotFound,
                        ErrorKind::WouldBlock,
                        ErrorKind::CrossesDevices
                    ]
                    .contains(&error.kind()),
                    "{error}"
                ),
            }
        }
        stop.store(true, Ordering::Relaxed);
        mover.join().unwrap();
        eprintln!("{found} of 300 found it");
    });
}

/// Each mode of a rename does with the other file what it says.
#[test]
fn renames_do_with_the_other_file_what_they_say() {
    on_every_backend(|_| async {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        std::fs::write(&a, "a").unwrap();
        std::fs::write(&b, "b").unwrap();
        let error = fs::rename_with(&a, &b, RenameMode::NoReplace)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        fs::rename_with(&a, &b, RenameMode::Exchange).await.unwrap();
        assert_eq!(
            (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap()),
            (b"b".into(), b"a".into())
        );
        let absent = root.path().join("absent");
        let error = fs::rename_with(&a, &absent, RenameMode::Exchange)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        fs::rename_with(&a, &absent, RenameMode::NoReplace)
            .await
            .unwrap();
        fs::rename_with(&absent, &b, RenameMode::default())
            .await
            .unwrap();
        assert_eq!(names(root.path()), ["b"]);
        assert_eq!(std::fs::read(&b).unwrap(), b"b");
    });
}

/// More entries than one hop reads, each once, also where a future is dropped in between.
#[test]
fn every_entry_is_listed_once() {
    on_each_route(|_| async {
        let root = tempfile::tempdir().unwrap();
        let expected: BTreeSet<String> = (0..3000).map(|n| format!("a longer name {n}")).collect();
        for name in &expected {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        std::fs::create_dir(root.path().join("sub")).unwrap();
        let dir = Dir::open(root.path()).await.unwrap();
        for _ in 0..2 {
            let mut entries = dir.read_dir().await.unwrap();
            let mut seen = BTreeSet::new();
            loop {
                let next = Box::pin(entries.next_entry());
                let next = match futures::future::select(next, std::future::ready(())).await {
                    futures::future::Either::Left((next, _)) => next,
                    // Dropped before it was over.
                    futures::future::Either::Right(_) => continue,
                };
                let Some(entry) = next.unwrap() else { break };
                let name = entry.file_name().into_string().unwrap();
                let is_dir = entry.kind().is_some_and(|kind| kind == FileKind::Directory);
                assert_eq!(is_dir, name == "sub");
                assert!(entry.ino() > 0);
                assert!(seen.insert(name));
            }
            assert!(seen.remove("sub"));
            assert_eq!(seen, expected);
        }
    });
}

/// A file without a name: gone with its descriptor, or linked when it is whole.
#[test]
fn an_unnamed_file_gets_a_name_when_it_is_whole() {
    on_every_backend(|_| async {
        let root = tempfile::tempdir().unwrap();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).unnamed(true).mode(0o640);
        let file = match options.open(root.path()).await {
            Ok(file) => file,
            Err(error) => {
                return eprintln!("skip: an_unnamed_file_gets_a_name_when_it_is_whole: {error}");
            }
        };
        file.write_all_at("whole", 0).await.unwrap();
        drop(options.open(root.path()).await.unwrap());
        assert!(names(root.path()).is_empty());
        let path = root.path().join("named");
        file.link(&path).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        let error = file.link(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST), "{error}");
        let dir = Dir::open(root.path()).await.unwrap();
        let other = dir.open_file(".", options).await.unwrap();
        other.write_all_at("other", 0).await.unwrap();
        other.link_in(&dir, "other").await.unwrap();
        assert_eq!(text(&dir, "other").await, "other");
        assert_eq!(names(root.path()), ["named", "other"]);
        let mut read_only = OpenOptions::new();
        let error = read_only
            .read(true)
            .unnamed(true)
            .open(root.path())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// Descriptors of opens whose futures were dropped are closed.
#[test]
fn dropped_opens_leave_no_descriptor() {
    on_each_route(|_| async {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let dir = Dir::open(root.path()).await.unwrap();
        let within = Resolve::new().beneath();
        let count = || {
            let ours = |entry: std::io::Result<std::fs::DirEntry>| {
                let target = std::fs::read_link(entry.unwrap().path());
                target.is_ok_and(|target| target == root.path().join("file"))
            };
            let open = std::fs::read_dir("/proc/self/fd").unwrap();
            open.map(ours).filter(|&ours| ours).count()
        };
        for _ in 0..100 {
            let options = reading();
            let opening = Box::pin(dir.open_file_within("file", &options, within));
            drop(futures::future::select(opening, std::future::ready(())).await);
        }
        let handle = tidegate::Handle::current().unwrap();
        while handle.stats().in_flight > 0 || count() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

/// What is in memory is opened without a thread or a ring, with restrictions and without, and is what a plain open gives.
#[test]
fn files_in_memory_are_opened_at_the_poll() {
    on_each_route(|route| async move {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        std::fs::write(root.path().join("sub/file"), "content").unwrap();
        let answers = tidegate::probe::filesystem(root.path()).unwrap();
        let dir = Dir::open(root.path()).await.unwrap();
        if !restricts(&dir).await {
            return eprintln!("skip: files_in_memory_are_opened_at_the_poll: no openat2 here");
        }
        let are_answered = route == tidegate::Route::Auto && answers.answers_at_poll;
        let at_poll = |name: &str| {
            let stats = tidegate::Handle::current().unwrap().stats();
            let of_it = stats.ops().filter(|op| op.row.name == name);
            of_it.map(|op| op.at_poll).sum::<u64>()
        };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        for (within, name) in [
            (Resolve::new(), "open"),
            (Resolve::new().beneath(), "open_within"),
            (Resolve::new().in_root().no_symlinks(), "open_within"),
        ] {
            let before = at_poll(name);
            loop {
                let file = dir.open_file_within("sub/file", &reading(), within).await;
                let (count, buf) = file.unwrap().read_at(vec![0; 9], 0).await.unwrap();
                assert_eq!(&buf[..count], b"content");
                // The first operation there learns what the mount is.
                if !are_answered || at_poll(name) > before {
                    break;
                }
                assert!(std::time::Instant::now() < end, "{name} is never answered");
            }
        }
        // No flag is left that was not asked for, and none is gone that was.
        for flags in [0, libc::O_NONBLOCK] {
            let options = reading().custom_flags(flags).clone();
            let within = Resolve::new().beneath();
            let file = dir.open_file_within("sub/file", &options, within).await;
            let file = file.unwrap();
            let has = rustix::fs::fcntl_getfl(&file).unwrap();
            let is_set = has.contains(rustix::fs::OFlags::NONBLOCK);
            assert_eq!(is_set, flags != 0);
        }
        let beneath = Resolve::new().beneath();
        let missing = dir.open_file_within("sub/none", &reading(), beneath).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

/// The futures of an open directory cross threads, and so does it.
#[test]
fn directories_and_their_futures_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    fn moves<T: Send>(_: &T) {}
    crosses::<Dir>();
    crosses::<fs::Entries>();
    crosses::<fs::NamedEntry>();
    on_each_route(|_| async {
        let dir = Dir::open("/").await.unwrap();
        moves(&dir.open_file("x", &reading()));
        moves(&dir.open_dir("x"));
        moves(&dir.rename("x", &dir, "y"));
        moves(&dir.read_link("x"));
        moves(&dir.read_dir());
    });
}
