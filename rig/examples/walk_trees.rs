//! Walks through trees that no disk here has: one whose server takes 2 ms for each answer, and one of any number of
//! entries, which its server makes up.
//!
//! ```sh
//! cargo run --release -p tidegate-rig --example walk_trees -- remote
//! cargo run --release -p tidegate-rig --example walk_trees -- memory 10000000 10000
//! ```
//!
//! The first prints how long a walk takes beside a loop on one thread, the second the most memory that a walk of so many
//! files has had, so many of them in each directory. With a third word, `stat`, attributes are asked for as well. Needs
//! root and FUSE.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_server = arguments.first().is_some_and(|word| word == "serve");
    if !is_server {
        tidegate_rig::init();
    }
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    match (arguments.first().map(String::as_str), number(1), number(2)) {
        (Some("serve"), Some(files), Some(each)) => made_up::serve(files, each),
        (Some("memory"), Some(files), Some(each)) => {
            let asks = arguments.get(3).is_some_and(|word| word == "stat");
            linux::memory(files, each, asks)
        }
        (Some("remote"), ..) => linux::remote(),
        _ => Err(std::io::Error::other(
            "remote, or memory FILES IN_EACH_DIRECTORY [stat]",
        )),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, OpenOptions};
    use std::io;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    use tidegate::fs::WalkDir;
    use tidegate_rig::{Request, StalledFuse};

    const ANSWER: Duration = Duration::from_millis(2);
    const DIRS: usize = 40;
    const FILES: usize = 50;
    const ROUNDS: usize = 3;
    /// Longer than all rounds take.
    const HOLD_MAX: Duration = Duration::from_secs(300);

    fn walk(root: &Path, asks: bool) -> io::Result<u64> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let mut walk = WalkDir::new(root).metadata(asks).walk();
            let mut count = 0;
            while let Some(entry) = walk.next_entry().await {
                entry?;
                count += 1;
            }
            Ok(count)
        })
    }

    fn plain(root: &Path) -> io::Result<u64> {
        let (mut count, mut dirs) = (1, vec![root.to_path_buf()]);
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                count += 1;
                if entry.metadata()?.is_dir() {
                    dirs.push(entry.path());
                }
            }
        }
        Ok(count)
    }

    pub(crate) fn remote() -> io::Result<()> {
        let options = StalledFuse::options().with_attr_timeout(Duration::ZERO);
        let options = options.with_entry_timeout(Duration::ZERO);
        let fuse = options.with_max_hold(HOLD_MAX).create()?;
        for dir in 0..DIRS {
            let dir = fuse.backing_path().join(dir.to_string());
            fs::create_dir(&dir)?;
            for file in 0..FILES {
                fs::write(dir.join(file.to_string()), "text")?;
            }
        }
        let calls = [
            Request::Getattr,
            Request::Lookup,
            Request::Open,
            Request::Readdir,
        ];
        let delay = fuse.delay(ANSWER, &calls, "")?;
        let asked = || -> io::Result<u64> {
            let status = fuse.status()?;
            Ok(calls.iter().map(|&request| status.seen(request)).sum())
        };
        println!("each answer takes {ANSWER:?}");
        for _ in 0..ROUNDS {
            let (before, began) = (asked()?, Instant::now());
            let expected = plain(fuse.path())?;
            let (alone, between) = (began.elapsed(), asked()?);
            let began = Instant::now();
            assert_eq!(walk(fuse.path(), true)?, expected);
            let (ours, after) = (began.elapsed(), asked()?);
            println!(
                "{expected} entries: one thread {alone:.2?}, {} calls; a walk {ours:.2?}, {} calls; {:.1} times",
                between - before,
                after - between,
                alone.as_secs_f64() / ours.as_secs_f64()
            );
        }
        drop(delay);
        Ok(())
    }

    /// A mount, and who serves it.
    struct MadeUp(tempfile::TempDir, Child);

    impl Drop for MadeUp {
        fn drop(&mut self) {
            let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
            let _ = self.1.kill();
            let _ = self.1.wait();
        }
    }

    fn make_up(files: u64, each: u64) -> io::Result<MadeUp> {
        use std::os::fd::AsRawFd;
        let dir = tempfile::tempdir()?;
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")?;
        let fd = device.as_raw_fd();
        let data = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other");
        let (kind, flags) = (Some("fuse.tidegate-rig"), MsFlags::MS_NODEV);
        mount(Some("made-up"), dir.path(), kind, flags, Some(&*data))?;
        let numbers = [files, each].map(|number| number.to_string());
        let server = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args(numbers)
            .stdin(device)
            .spawn()?;
        Ok(MadeUp(dir, server))
    }

    /// The most memory that this process has had, in KiB.
    fn peak_kib() -> io::Result<u64> {
        let status = fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn memory(files: u64, each: u64, asks: bool) -> io::Result<()> {
        let made_up = make_up(files, each)?;
        let root: PathBuf = made_up.0.path().into();
        let before = peak_kib()?;
        let began = Instant::now();
        let found = walk(&root, asks)?;
        let took = began.elapsed();
        assert_eq!(found, 1 + files.div_ceil(each) + files);
        println!(
            "{files} files, {each} in each directory, {}: {took:.1?}, at most {:.1} MiB, of which {:.1} were there before",
            if asks { "with attributes" } else { "names" },
            peak_kib()? as f64 / 1024.0,
            before as f64 / 1024.0
        );
        Ok(())
    }
}

/// A server that has nothing in memory of the tree that it serves: names are numbers.
#[cfg(target_os = "linux")]
mod made_up {
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::AsFd;
    use std::time::{Duration, UNIX_EPOCH};

    use fuser::{
        Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, ReplyAttr,
        ReplyDirectory, ReplyEntry, Request, Session, SessionACL,
    };

    const KEPT: Duration = Duration::from_secs(1);
    /// Its directories have the numbers behind it, and the files those behind these.
    const ROOT: u64 = 1;

    struct MadeUp {
        files: u64,
        each: u64,
    }

    impl MadeUp {
        fn dirs(&self) -> u64 {
            self.files.div_ceil(self.each)
        }

        /// The first number in a directory, and how many there are.
        fn inside(&self, ino: u64) -> Option<(u64, u64)> {
            match ino {
                ROOT => Some((ROOT + 1, self.dirs())),
                dir if dir <= ROOT + self.dirs() => {
                    let before = (dir - ROOT - 1) * self.each;
                    let first = ROOT + 1 + self.dirs() + before;
                    Some((first, self.each.min(self.files - before)))
                }
                _ => None,
            }
        }

        fn kind(&self, ino: u64) -> FileType {
            match self.inside(ino) {
                Some(_) => FileType::Directory,
                None => FileType::RegularFile,
            }
        }

        fn attr(&self, ino: u64) -> FileAttr {
            FileAttr {
                ino: INodeNo(ino),
                size: ino % 4096,
                blocks: 8,
                atime: UNIX_EPOCH,
                mtime: UNIX_EPOCH,
                ctime: UNIX_EPOCH,
                crtime: UNIX_EPOCH,
                kind: self.kind(ino),
                perm: 0o755,
                nlink: 1,
                uid: 0,
                gid: 0,
                rdev: 0,
                blksize: 4096,
                flags: 0,
            }
        }
    }

    impl Filesystem for MadeUp {
        fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
            let number = name.to_str().and_then(|name| name.get(5..)?.parse().ok());
            let inside = self.inside(parent.0);
            match (number, inside) {
                (Some(ino), Some((first, count))) if (first..first + count).contains(&ino) => {
                    reply.entry(&KEPT, &self.attr(ino), Generation(0));
                }
                _ => reply.error(Errno::ENOENT),
            }
        }

        fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
            reply.attr(&KEPT, &self.attr(ino.0));
        }

        fn readdir(
            &self,
            _: &Request,
            ino: INodeNo,
            _: FileHandle,
            offset: u64,
            mut reply: ReplyDirectory,
        ) {
            let Some((first, count)) = self.inside(ino.0) else {
                return reply.error(Errno::ENOTDIR);
            };
            for at in offset..count {
                let ino = first + at;
                let name = format!("name-{ino:09}");
                if reply.add(INodeNo(ino), at + 1, self.kind(ino), name) {
                    break;
                }
            }
            reply.ok();
        }
    }

    /// Until it is unmounted.
    pub(crate) fn serve(files: u64, each: u64) -> io::Result<()> {
        let device = io::stdin().as_fd().try_clone_to_owned()?;
        let config = fuser::Config::default();
        let tree = MadeUp { files, each };
        Session::from_fd(tree, device, SessionACL::All, config)?.run()
    }
}
