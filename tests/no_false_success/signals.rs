//! Signals a thousand times a second, on a filesystem whose server ends what is interrupted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use tidegate::fs::{self, CopyFile, Dir, File, FileTimes, Follow, Preserve};
use tidegate::{Handle, Route};
use tidegate_rig::{Request, StalledFuse};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::stage::{Outcome, ensure, on};

/// How long each request takes, in which several signals come.
const DELAY: Duration = Duration::from_millis(4);
const ROUNDS: usize = 3;

extern "C" fn nothing(_: libc::c_int) {}

/// Sends signals to all other threads until it is dropped.
struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Storm {
    fn begin() -> Storm {
        let action = SigAction::new(
            SigHandler::Handler(nothing),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let blow = move || {
            let (me, mut sent) = (nix::unistd::gettid().as_raw(), 0);
            while !ended.load(Ordering::Relaxed) {
                for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten() {
                    let name = thread.map(|thread| thread.file_name());
                    let id = name
                        .ok()
                        .and_then(|name| name.to_str()?.parse::<i32>().ok());
                    if let Some(id) = id.filter(|id| *id != me) {
                        // SAFETY: it takes no memory; a thread that is gone is an error.
                        unsafe {
                            libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR1)
                        };
                        sent += 1;
                    }
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
            sent
        };
        Storm {
            over,
            thread: Some(std::thread::spawn(blow)),
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(Ok(sent)) = self.thread.take().map(std::thread::JoinHandle::join) {
            assert!(sent > 0, "nobody was disturbed");
        }
    }
}

/// Each operation once, in a folder of its own.
async fn everything(root: &Path) -> std::io::Result<()> {
    let at = |name: &str| root.join(name);
    names(root).await?;
    fs::write(at("file"), vec![7; 100_000]).await?;
    assert_eq!(fs::read(at("file")).await?.len(), 100_000);
    fs::metadata(at("file")).await?;
    fs::statx(at("file")).await?;
    fs::symlink_metadata(at("file")).await?;
    fs::set_permissions(
        at("file"),
        std::os::unix::fs::PermissionsExt::from_mode(0o640),
    )
    .await?;
    fs::set_owner(at("file"), Some(0), Some(0), Follow::Links).await?;
    let times = FileTimes::new().set_modified(SystemTime::now());
    fs::set_times(at("file"), times, Follow::Links).await?;
    fs::copy(at("file"), at("copy")).await?;
    CopyFile::new(at("file"), at("whole"))
        .rename_into_place(true)
        .run()
        .await?;
    let warnings = fs::copy_metadata(at("file"), at("copy"), Preserve::default()).await?;
    assert!(warnings.is_empty(), "{warnings:?}");
    open_file(&at("file")).await?;
    let dir = Dir::open(root).await?;
    dir.rename("copy", &dir, "moved").await?;
    let mut entries = dir.read_dir().await?;
    let mut found = 0;
    while entries.next_entry().await?.is_some() {
        found += 1;
    }
    assert_eq!(found, 3);
    fs::remove_file(at("moved")).await
}

async fn names(root: &Path) -> std::io::Result<()> {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("deep/er")).await?;
    fs::create_dir(at("deep/er/est")).await?;
    fs::write(at("deep/one"), "1").await?;
    fs::hard_link(at("deep/one"), at("deep/two")).await?;
    fs::symlink("one", at("deep/link")).await?;
    assert_eq!(fs::read_link(at("deep/link")).await?, Path::new("one"));
    fs::canonicalize(at("deep/link")).await?;
    assert!(fs::try_exists(at("deep/link")).await?);
    fs::rename(at("deep/two"), at("deep/three")).await?;
    let mut entries = fs::read_dir(at("deep")).await?;
    let mut found = 0;
    while let Some(entry) = entries.next_entry().await? {
        entry.metadata().await?;
        found += 1;
    }
    assert_eq!(found, 4);
    fs::remove_dir(at("deep/er/est")).await?;
    fs::remove_dir_all(at("deep")).await
}

async fn open_file(path: &Path) -> std::io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path).await?;
    file.metadata().await?;
    file.set_len(50_000).await?;
    file.write_all(b"text").await?;
    file.flush().await?;
    file.rewind().await?;
    let mut text = [0; 4];
    file.read_exact(&mut text).await?;
    assert_eq!(&text, b"text");
    file.seek(std::io::SeekFrom::End(0)).await?;
    file.write_all_at("text", 9).await?;
    let (count, read) = file.read_at(vec![0; 50_000], 0).await?;
    assert_eq!((count, &read[9..13]), (50_000, &b"text"[..]));
    file.sync_data().await?;
    file.sync_all().await?;
    file.close().await
}

/// What a signal interrupts begins again, or is not interrupted at all: whoever called hears nothing of it.
pub(crate) fn interrupt_nothing(route: Route) -> Outcome {
    let options = StalledFuse::options().with_interrupts(true);
    let tree = options.with_entry_timeout(Duration::ZERO).create()?;
    let delay = tree.delay(DELAY, &Request::ALL, "/")?;
    let told = on(route, |_: Handle| async {
        let storm = Storm::begin();
        for round in 0..ROUNDS {
            let root = tree.path().join(round.to_string());
            fs::create_dir(&root).await?;
            let done = everything(&root).await;
            let what = || format!("round {round}: {done:?}");
            ensure(done.is_ok(), what())?;
        }
        drop(storm);
        Ok(())
    });
    delay.release()?;
    told
}
