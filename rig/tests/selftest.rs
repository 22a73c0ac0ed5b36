//! Does the rig do what it says, on this machine, and leave nothing behind?

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File, OpenOptions};
    use std::io::{self, BufRead, BufReader, Read, Write};
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::os::unix::process::parent_id;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode, Stdio};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    use libtest_mimic::{Arguments, Completion, Failed, Trial};
    use rustix::io::ReadWriteFlags;
    use tidegate_rig::{FsKind, HeldDisk, Request, Requirements, StalledFuse, files};

    /// Marks the process that `a_killed_test_leaves_nothing` kills.
    const VICTIM_ENV: &str = "TIDEGATE_RIG_VICTIM";
    const WAIT: Duration = Duration::from_secs(8);
    const DISK: [Request; 3] = [Request::Read, Request::Write, Request::Fsync];

    type Outcome = Result<(), Failed>;

    pub(crate) fn main() -> ExitCode {
        tidegate_rig::init();
        if std::env::var_os(VICTIM_ENV).is_some() {
            return victim();
        }
        let mut args = Arguments::from_args();
        // One at a time, so that a loop device found free is not another test's a moment later.
        args.test_threads = Some(1);
        let mut trials = Vec::new();
        for kind in FsKind::ALL {
            let mut add = |name: &str, test: fn(FsKind) -> Outcome| {
                trials.push(trial(
                    format!("{}::{name}", kind.name()),
                    Requirements::disk(kind),
                    move || test(kind),
                ));
            };
            add(
                "a_held_cold_read_waits_and_then_has_the_right_bytes",
                cold_read,
            );
            add(
                "a_held_direct_read_waits_and_then_has_the_right_bytes",
                direct_read,
            );
            add("a_cold_extent_makes_even_a_nowait_read_sleep", nowait_read);
            add("a_held_fsync_waits", fsync);
            add("nothing_is_left_behind", nothing_left);
        }
        let mut ext4 = |name: &str, test: fn() -> Outcome| {
            trials.push(trial(
                name.to_owned(),
                Requirements::disk(FsKind::Ext4),
                test,
            ));
        };
        ext4("a_hold_ends_by_itself", hold_ends);
        ext4("a_failing_disk_gives_eio", failing_disk);
        ext4("a_delayed_disk_answers_late", delayed_disk);
        ext4("mount_options_are_used", mount_options);
        ext4("dropped_pages_come_from_the_disk_again", dropped_pages);
        ext4("a_frozen_disk_takes_no_writes", frozen_disk);
        ext4("one_held_disk_leaves_another_alone", two_disks);
        ext4("a_panic_leaves_nothing", panic_leaves_nothing);
        ext4("dropping_a_held_disk_ends_what_waits", drop_while_held);
        ext4("a_killed_test_leaves_nothing", killed_leaves_nothing);
        let mut fuse = |name: &str, test: fn() -> Outcome| {
            trials.push(trial(name.to_owned(), Requirements::fuse(), test));
        };
        fuse("a_tree_passes_everything_through", tree_passes);
        fuse("a_tree_holds_by_path", tree_holds);
        fuse("a_tree_fails_and_delays_by_path", tree_fails);
        fuse(
            "a_signal_ends_what_an_interruptible_tree_holds",
            tree_interrupted,
        );
        fuse("an_aborted_tree_ends_what_it_holds", tree_aborted);
        libtest_mimic::run(&args, trials).exit_code()
    }

    fn trial(
        name: String,
        needs: Requirements,
        test: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Trial {
        Trial::ignorable_test(name, move || match needs.missing().as_slice() {
            [] => test().map(|()| Completion::Completed),
            missing => Ok(Completion::ignored_with(missing.join(", "))),
        })
    }

    fn disk(kind: FsKind) -> io::Result<HeldDisk> {
        HeldDisk::new(kind, kind.size_bytes_min())
    }

    fn ensure(truth: bool, what: impl Into<String>) -> Outcome {
        if truth {
            Ok(())
        } else {
            Err(what.into().into())
        }
    }

    /// Runs something that may sleep on storage in a thread of its own.
    fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
        let (sender, receiver) = channel();
        std::thread::spawn(move || sender.send(work()));
        receiver
    }

    fn read_at(path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; len];
        File::open(path)?.read_exact_at(&mut buf, offset)?;
        Ok(buf)
    }

    fn cold_read(kind: FsKind) -> Outcome {
        let disk = disk(kind)?;
        let made = files::fragmented(&disk.path().join("file"), 2000, 4096)?;
        disk.remount()?;
        let offset = made.offset_of(1500);
        // Opened before, so that what sleeps is the read.
        let file = File::open(made.path())?;
        let hold = disk.hold(&DISK)?;
        let read = apart(move || {
            let mut buf = vec![0; 8192];
            file.read_exact_at(&mut buf, offset).map(|()| buf)
        });
        disk.wait_held(1, WAIT)?;
        ensure(
            read.try_recv().is_err(),
            "the read came back from a dead disk",
        )?;
        hold.release()?;
        let bytes = read.recv_timeout(WAIT)??;
        ensure(
            made.first_difference(offset, &bytes).is_none(),
            "wrong bytes",
        )?;
        let all = read_at(made.path(), 0, made.len_bytes() as usize)?;
        ensure(
            made.first_difference(0, &all).is_none(),
            "wrong bytes in the whole file",
        )
    }

    fn direct_read(kind: FsKind) -> Outcome {
        let disk = disk(kind)?;
        let path = disk.path().join("file");
        files::create(&path, 3 << 20)?;
        // Warm metadata: it is the data itself that waits.
        files::read_direct(&path, 0, 4096)?;
        let hold = disk.hold(&[Request::Read])?;
        let read = apart(move || files::read_direct(&path, 1 << 20, 1 << 20));
        disk.wait_held(1, WAIT)?;
        ensure(
            read.try_recv().is_err(),
            "the read came back from a dead disk",
        )?;
        ensure(disk.status()?.held >= 1, "status does not show the read")?;
        drop(hold);
        let bytes = read.recv_timeout(WAIT)??;
        ensure(
            files::first_difference(1 << 20, &bytes).is_none(),
            "wrong bytes",
        )
    }

    /// The premise of a test that no disk freezes a runtime: here it does freeze the calling thread.
    fn nowait_read(kind: FsKind) -> Outcome {
        let disk = disk(kind)?;
        let made = files::fragmented(&disk.path().join("file"), 2000, 4096)?;
        disk.remount()?;
        let offset = made.offset_of(1500);
        let file = File::open(made.path())?;
        let hold = disk.hold(&DISK)?;
        let read = apart(move || {
            let mut buf = [0; 4096];
            let bufs = &mut [io::IoSliceMut::new(&mut buf)];
            rustix::io::preadv2(&file, bufs, offset, ReadWriteFlags::NOWAIT)
        });
        disk.wait_held(1, WAIT)?;
        // A read that does not sleep returns at once; this gives it time to.
        let early = read.recv_timeout(Duration::from_millis(300));
        ensure(
            early.is_err(),
            "the read did not sleep: its extent was not cold",
        )?;
        hold.release()?;
        read.recv_timeout(WAIT)?.map(drop).or_else(|error| {
            let again = error == rustix::io::Errno::AGAIN;
            ensure(again, format!("{error}"))
        })
    }

    fn fsync(kind: FsKind) -> Outcome {
        let disk = disk(kind)?;
        let path = disk.path().join("file");
        let mut file = File::create(&path)?;
        file.write_all(b"data")?;
        let hold = disk.hold(&[Request::Write, Request::Fsync])?;
        let sync = apart(move || file.sync_all());
        disk.wait_held(1, WAIT)?;
        ensure(
            sync.try_recv().is_err(),
            "the fsync came back from a dead disk",
        )?;
        drop(hold);
        sync.recv_timeout(WAIT)??;
        disk.remount()?;
        ensure(fs::read(&path)? == b"data", "wrong bytes")
    }

    /// What a disk has that could be left behind.
    struct Traces {
        mount: PathBuf,
        loop_name: String,
        server: u32,
    }

    impl Traces {
        fn of(disk: &HeldDisk) -> Option<Traces> {
            let loop_name = disk.device().file_name()?.to_str()?.to_owned();
            Some(Traces {
                mount: disk.path().to_owned(),
                loop_name,
                server: disk.server_id()?,
            })
        }

        fn gone(&self) -> Outcome {
            let work_dir = self.mount.parent().unwrap_or(&self.mount);
            ensure(
                !work_dir.exists(),
                format!("{} is left", work_dir.display()),
            )?;
            ensure(!mounted(std::process::id(), work_dir)?, "a mount is left")?;
            ensure(!mounted(parent_id(), work_dir)?, "a mount is left outside")?;
            let attached = PathBuf::from(format!("/sys/block/{}/loop", self.loop_name));
            ensure(!attached.exists(), format!("{} is left", self.loop_name))?;
            ensure(
                !PathBuf::from(format!("/proc/{}", self.server)).exists(),
                "the server is left",
            )
        }
    }

    fn mounted(process: u32, dir: &Path) -> io::Result<bool> {
        let dir = dir.display().to_string();
        Ok(fs::read_to_string(format!("/proc/{process}/mountinfo"))?.contains(&dir))
    }

    fn nothing_left(kind: FsKind) -> Outcome {
        let disk = disk(kind)?;
        let traces = Traces::of(&disk).ok_or("no traces")?;
        ensure(mounted(std::process::id(), &traces.mount)?, "not mounted")?;
        ensure(
            !mounted(parent_id(), &traces.mount)?,
            "the mount is visible outside",
        )?;
        ensure(traces.gone().is_err(), "the check sees nothing")?;
        fs::write(disk.path().join("file"), "data")?;
        drop(disk);
        traces.gone()
    }

    fn hold_ends() -> Outcome {
        let size = FsKind::Ext4.size_bytes_min();
        let disk = HeldDisk::options(FsKind::Ext4, size)
            .with_max_hold(Duration::from_millis(200))
            .create()?;
        let path = disk.path().join("file");
        files::create(&path, 1 << 20)?;
        let hold = disk.hold(&DISK)?;
        let bytes = files::read_direct(&path, 4096, 4096)?;
        ensure(
            files::first_difference(4096, &bytes).is_none(),
            "wrong bytes",
        )?;
        let status = disk.status()?;
        ensure(
            status.expired == 1 && status.rules == 0 && status.held == 0,
            format!("{status:?}"),
        )?;
        Ok(hold.release()?)
    }

    fn failing_disk() -> Outcome {
        let disk = disk(FsKind::Ext4)?;
        let path = disk.path().join("file");
        files::create(&path, 1 << 20)?;
        let rule = disk.fail(libc_eio(), &[Request::Read])?;
        let error = files::read_direct(&path, 0, 4096)
            .err()
            .and_then(|error| error.raw_os_error());
        ensure(error == Some(libc_eio()), format!("{error:?}"))?;
        rule.release()?;
        files::read_direct(&path, 0, 4096)?;
        Ok(())
    }

    fn libc_eio() -> i32 {
        5
    }

    fn delayed_disk() -> Outcome {
        let disk = disk(FsKind::Ext4)?;
        let path = disk.path().join("file");
        files::create(&path, 1 << 20)?;
        let delay = Duration::from_millis(50);
        let _rule = disk.delay(delay, &[Request::Read])?;
        let begin = Instant::now();
        files::read_direct(&path, 0, 4096)?;
        ensure(begin.elapsed() >= delay, "the answer came early")
    }

    fn mount_options() -> Outcome {
        let disk = disk(FsKind::Ext4)?.with_mount_options("noatime,nodelalloc")?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let at = disk.path().display().to_string();
        let line = mounts
            .lines()
            .find(|line| line.contains(&at))
            .ok_or("not mounted")?;
        ensure(
            line.contains("noatime") && line.contains("nodelalloc"),
            line,
        )
    }

    fn dropped_pages() -> Outcome {
        let disk = disk(FsKind::Ext4)?;
        let path = disk.path().join("file");
        files::create(&path, 1 << 20)?;
        let reads = |disk: &HeldDisk| disk.status().map(|status| status.seen(Request::Read));
        let before = reads(&disk)?;
        fs::read(&path)?;
        ensure(
            reads(&disk)? == before,
            "what was just written is not cached",
        )?;
        files::drop_cached(&path)?;
        let bytes = fs::read(&path)?;
        ensure(reads(&disk)? > before, "the pages were not dropped")?;
        ensure(files::first_difference(0, &bytes).is_none(), "wrong bytes")
    }

    fn two_disks() -> Outcome {
        let (dead, well) = (disk(FsKind::Ext4)?, disk(FsKind::Ext4)?);
        let (dead_path, well_path) = (dead.path().join("file"), well.path().join("file"));
        files::create(&dead_path, 1 << 20)?;
        files::create(&well_path, 1 << 20)?;
        let hold = dead.hold(&DISK)?;
        let read = apart(move || files::read_direct(&dead_path, 0, 4096));
        dead.wait_held(1, WAIT)?;
        files::read_direct(&well_path, 0, 4096)?;
        drop(well);
        ensure(read.try_recv().is_err(), "the dead disk answered")?;
        hold.release()?;
        read.recv_timeout(WAIT)??;
        Ok(())
    }

    fn panic_leaves_nothing() -> Outcome {
        let (sender, receiver) = channel();
        let panicked = std::thread::spawn(move || {
            let disk = disk(FsKind::Ext4).expect("a disk");
            sender.send(Traces::of(&disk)).expect("a receiver");
            let _hold = disk.hold(&DISK).expect("a hold");
            panic!("this panic is part of the test");
        });
        ensure(panicked.join().is_err(), "no panic")?;
        receiver.recv()?.ok_or("no traces")?.gone()
    }

    fn drop_while_held() -> Outcome {
        let disk = disk(FsKind::Ext4)?;
        let traces = Traces::of(&disk).ok_or("no traces")?;
        let path = disk.path().join("file");
        files::create(&path, 1 << 20)?;
        let hold = disk.hold(&DISK)?;
        let read = apart(move || files::read_direct(&path, 0, 4096));
        disk.wait_held(1, WAIT)?;
        drop(disk);
        ensure(read.recv_timeout(WAIT)?.is_ok(), "the read failed")?;
        // The server is gone: an error, and no hang.
        ensure(hold.release().is_err(), "somebody answered")?;
        traces.gone()
    }

    /// Holds its disk, has a thread asleep on it, says so, and waits to be killed.
    fn victim() -> ExitCode {
        let report = || -> Result<(HeldDisk, Traces), Failed> {
            let options = HeldDisk::options(FsKind::Ext4, FsKind::Ext4.size_bytes_min());
            let disk = options.with_max_hold(Duration::from_secs(1)).create()?;
            let path = disk.path().join("file");
            files::create(&path, 1 << 20)?;
            std::mem::forget(disk.hold(&DISK)?);
            drop(apart(move || files::read_direct(&path, 0, 4096)));
            disk.wait_held(1, WAIT)?;
            let traces = Traces::of(&disk).ok_or("no traces")?;
            Ok((disk, traces))
        };
        let Ok((_disk, traces)) = report() else {
            return ExitCode::FAILURE;
        };
        println!(
            "{}\n{}\n{}",
            traces.mount.display(),
            traces.loop_name,
            traces.server
        );
        let _ = io::stdin().read(&mut [0]);
        ExitCode::FAILURE
    }

    fn killed_leaves_nothing() -> Outcome {
        let mut child = Command::new("/proc/self/exe")
            .env(VICTIM_ENV, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut line = || lines.next().ok_or("the victim said nothing");
        let (mount, loop_name, server) = (PathBuf::from(line()??), line()??, line()??.parse()?);
        child.kill()?;
        // The server has the same standard error: its end is the end of both.
        let mut complaint = String::new();
        child
            .stderr
            .take()
            .ok_or("no error output")?
            .read_to_string(&mut complaint)?;
        child.wait()?;
        let traces = Traces {
            mount,
            loop_name,
            server,
        };
        let reaped = Instant::now() + WAIT;
        // Its new parent collects it a moment later, and tells nobody.
        while Path::new(&format!("/proc/{server}")).exists() && Instant::now() < reaped {
            std::thread::yield_now();
        }
        ensure(complaint.is_empty(), complaint)?;
        traces.gone()
    }

    fn tree_passes() -> Outcome {
        let tree = StalledFuse::new()?;
        let (dir, file) = (tree.path().join("dir"), tree.path().join("dir/file"));
        fs::create_dir(&dir)?;
        files::create(&file, 3 << 20)?;
        ensure(
            files::first_difference(0, &fs::read(&file)?).is_none(),
            "wrong bytes",
        )?;
        ensure(fs::metadata(&file)?.len() == 3 << 20, "wrong length")?;
        OpenOptions::new()
            .append(true)
            .open(&file)?
            .write_all(b"end")?;
        ensure(
            fs::read(tree.backing_path().join("dir/file"))?.ends_with(b"end"),
            "append got lost",
        )?;
        fs::rename(&dir, tree.path().join("other"))?;
        let file = tree.path().join("other/file");
        fs::hard_link(&file, tree.path().join("link"))?;
        std::os::unix::fs::symlink("other/file", tree.path().join("symbolic"))?;
        ensure(fs::metadata(&file)?.nlink() == 2, "no link")?;
        ensure(
            fs::read_link(tree.path().join("symbolic"))? == Path::new("other/file"),
            "wrong link",
        )?;
        let mut names = Vec::new();
        for entry in fs::read_dir(tree.path())? {
            names.push(entry?.file_name());
        }
        names.sort();
        ensure(names == ["link", "other", "symbolic"], format!("{names:?}"))?;
        let open = File::open(&file)?;
        fs::remove_file(&file)?;
        fs::remove_file(tree.path().join("link"))?;
        ensure(
            open.metadata()?.len() == (3 << 20) + 3,
            "an unlinked file has no attributes",
        )?;
        drop(open);
        fs::remove_dir(tree.path().join("other"))?;
        let work_dir = tree
            .path()
            .parent()
            .map(Path::to_owned)
            .ok_or("no directory")?;
        drop(tree);
        ensure(
            !work_dir.exists() && !mounted(std::process::id(), &work_dir)?,
            "something is left",
        )
    }

    fn tree_holds() -> Outcome {
        let tree = StalledFuse::new()?;
        for name in ["slow", "quick"] {
            files::create(&tree.backing_path().join(name), 4096)?;
        }
        for request in [
            Request::Lookup,
            Request::Open,
            Request::Read,
            Request::Flush,
        ] {
            let hold = tree.hold(&[request], "/slow")?;
            let (slow, quick) = (tree.path().join("slow"), tree.path().join("quick"));
            let read = apart(move || fs::read(slow));
            tree.wait_held(1, WAIT)
                .map_err(|error| format!("{request:?}: {error}"))?;
            ensure(fs::read(quick)?.len() == 4096, "the other file")?;
            ensure(
                read.try_recv().is_err(),
                format!("{request:?} was not held"),
            )?;
            hold.release()?;
            let bytes = read.recv_timeout(WAIT)??;
            ensure(
                bytes.len() == 4096 && files::first_difference(0, &bytes).is_none(),
                "wrong bytes",
            )?;
            // Names are valid for a second; a directory that changes makes the kernel look again.
            fs::rename(tree.path().join("quick"), tree.path().join("quick2"))?;
            fs::rename(tree.path().join("quick2"), tree.path().join("quick"))?;
        }
        let hold = tree.hold(&[Request::Readdir], "")?;
        let root = tree.path().to_owned();
        let list = apart(move || fs::read_dir(root).map(Iterator::count));
        tree.wait_held(1, WAIT)?;
        hold.release()?;
        ensure(list.recv_timeout(WAIT)?? == 2, "wrong listing")
    }

    fn tree_interrupted() -> Outcome {
        let tree = StalledFuse::options().with_interrupts(true).create()?;
        files::create(&tree.path().join("file"), 3 << 20)?;
        let same = files::first_difference(0, &fs::read(tree.path().join("file"))?).is_none();
        ensure(same, "wrong bytes")?;
        let _hold = tree.hold(&[Request::Lookup, Request::Getattr], "/file")?;
        let mut cat = Command::new("cat")
            .arg(tree.path().join("file"))
            .stderr(Stdio::null())
            .spawn()?;
        tree.wait_held(1, WAIT)?;
        cat.kill()?;
        cat.wait()?;
        ensure(tree.status()?.held == 0, "still held")?;
        ensure(tree.status()?.interrupted == 1, "not interrupted")
    }

    fn tree_aborted() -> Outcome {
        let tree = StalledFuse::new()?;
        files::create(&tree.backing_path().join("file"), 4096)?;
        let _hold = tree.hold(&[Request::Read], "")?;
        let path = tree.path().join("file");
        let read = apart(move || fs::read(path));
        tree.wait_held(1, WAIT)?;
        tree.abort();
        ensure(read.recv_timeout(WAIT)?.is_err(), "it was answered")
    }

    fn frozen_disk() -> Outcome {
        let disk = disk(FsKind::Ext4)?;
        let path = disk.path().join("file");
        files::create(&path, 4096)?;
        let freeze = disk.freeze()?;
        let new = disk.path().join("new");
        let write = apart(move || fs::write(new, "late"));
        ensure(fs::read(&path)?.len() == 4096, "not readable")?;
        ensure(write.try_recv().is_err(), "not frozen")?;
        drop(freeze);
        write.recv_timeout(WAIT)??;
        ensure(fs::read(disk.path().join("new"))? == b"late", "wrong bytes")
    }

    fn tree_fails() -> Outcome {
        let tree = StalledFuse::options()
            .with_entry_timeout(Duration::ZERO)
            .create()?;
        fs::write(tree.path().join("bad"), "data")?;
        fs::write(tree.path().join("good"), "data")?;
        let rule = tree.fail(libc_eio(), &[Request::Read], "/bad")?;
        let error = fs::read(tree.path().join("bad"))
            .err()
            .and_then(|error| error.raw_os_error());
        ensure(error == Some(libc_eio()), format!("{error:?}"))?;
        ensure(
            fs::read(tree.path().join("good"))? == b"data",
            "the other file",
        )?;
        rule.release()?;
        let delay = Duration::from_millis(50);
        let _rule = tree.delay(delay, &[Request::Getattr, Request::Lookup], "/good")?;
        let begin = Instant::now();
        fs::metadata(tree.path().join("good"))?;
        ensure(begin.elapsed() >= delay, "the answer came early")?;
        ensure(
            tree.hold(&[Request::Read], "good").is_err(),
            "a prefix without a slash",
        )?;
        ensure(tree.hold(&[], "").is_err(), "no requests")
    }
}
