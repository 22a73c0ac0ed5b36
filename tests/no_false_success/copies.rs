//! What a copy has of its source: all of it, and no more rights than were given to it.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt;
use tidegate::Route;
use tidegate::fs::{self, CopyFile, File, Preserve};
use tidegate_rig::{Request, StalledFuse};
use tokio::io::AsyncReadExt;

use crate::stage::{Outcome, ensure, on};

const WAIT: Duration = Duration::from_secs(15);

/// The content, by one large read after the other.
fn by_reads(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let (mut file, mut part, mut all) = (std::fs::File::open(path)?, vec![0; 1 << 20], Vec::new());
    loop {
        match file.read(&mut part)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&part[..count]),
        }
    }
}

/// All that reads a file whole, in its way.
async fn in_every_way(path: &Path) -> std::io::Result<Vec<(&'static str, Vec<u8>)>> {
    let dir = tempfile::tempdir()?;
    let to = |name: &str| dir.path().join(name);
    fs::copy(path, to("copy")).await?;
    CopyFile::new(path, to("whole")).run().await?;
    let renamed = CopyFile::new(path, to("renamed")).rename_into_place(true);
    renamed.keep_holes(false).run().await?;
    let mut by_cursor = Vec::with_capacity(1 << 20);
    File::open(path).await?.read_to_end(&mut by_cursor).await?;
    let stream = File::open(path).await?.stream(..);
    let parts: Vec<_> = stream.try_collect().await?;
    Ok(vec![
        ("read", fs::read(path).await?),
        ("text", fs::read_to_string(path).await?.into_bytes()),
        ("cursor", by_cursor),
        ("stream", parts.concat()),
        ("copy", std::fs::read(to("copy"))?),
        ("whole", std::fs::read(to("whole"))?),
        ("renamed", std::fs::read(to("renamed"))?),
    ])
}

async fn same_in_every_way(path: &Path, expected: &[u8]) -> Result<(), String> {
    let all = in_every_way(path).await;
    let all = all.map_err(|error| format!("{}: {error}", path.display()))?;
    for (way, bytes) in all {
        let (bytes, expected) = (bytes.escape_ascii(), expected.escape_ascii());
        let what = format!("{way} of {}: {bytes} for {expected}", path.display());
        ensure(bytes.to_string() == expected.to_string(), what)?;
    }
    Ok(())
}

/// Files that say they are empty, and give all they have to the first read or never, and files that say a page.
pub(crate) fn sizes_are_hints(route: Route) -> Outcome {
    let made_up = [
        "/proc/sys/kernel/pid_max",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/ostype",
        "/proc/sys/net/ipv4/ip_local_reserved_ports",
        "/proc/sys/fs/file-max",
        "/proc/version",
        "/proc/cpuinfo",
        "/proc/filesystems",
        "/proc/self/cmdline",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/proc/self/cgroup",
    ];
    on(route, |_| async move {
        for path in made_up.map(Path::new) {
            match by_reads(path) {
                // Some figures change from one look to the next.
                Ok(expected) if by_reads(path).is_ok_and(|again| again == expected) => {
                    same_in_every_way(path, &expected).await?;
                }
                _ => println!("skip: {}: not here", path.display()),
            }
        }
        Ok(())
    })
}

/// A server whose files are longer or shorter than it says, as it made them up or they changed meanwhile.
pub(crate) fn other_sizes_are_hints(route: Route) -> Outcome {
    let day = Duration::from_secs(86_400);
    let options = StalledFuse::options().with_direct_io(true);
    let tree = options.with_attr_timeout(day).create()?;
    on(route, |_| async move {
        for (index, (said, bytes)) in [(0, 50), (0, 300_000), (10, 50), (50, 10), (40_000, 20)]
            .into_iter()
            .enumerate()
        {
            let name = format!("file{index}");
            let (path, behind) = (tree.path().join(&name), tree.backing_path().join(&name));
            std::fs::write(&behind, vec![b's'; said])?;
            ensure(std::fs::metadata(&path)?.len() == said as u64, "its size")?;
            std::fs::write(&behind, vec![b'b'; bytes])?;
            let copied = tempfile::tempdir()?;
            let to = copied.path().join("to");
            let count = fs::copy(&path, &to).await?;
            let expected = std::fs::read(&behind)?;
            let found = std::fs::read(&to)?;
            let what = format!("{} of {bytes} bytes where it says {said}", found.len());
            ensure(found == expected && count == bytes as u64, what)?;
        }
        Ok(())
    })
}

/// A source that is written to while it is copied, with its time put back: the copy has neither one nor the other.
pub(crate) fn changes_are_told(route: Route) -> Outcome {
    let tree = StalledFuse::options().with_direct_io(true).create()?;
    let behind = tree.backing_path().join("file");
    std::fs::write(&behind, vec![1; 1 << 20])?;
    let before = std::fs::metadata(&behind)?;
    on(route, |_| async move {
        let to = tempfile::tempdir()?;
        let guard = tree.hold(&[Request::Read], "/file")?;
        let copy = CopyFile::new(tree.path().join("file"), to.path().join("to"));
        let copy = tokio::spawn(copy.rename_into_place(true).run());
        tree.wait_held(1, WAIT)?;
        std::fs::write(&behind, vec![2; 1 << 20])?;
        let times = std::fs::FileTimes::new().set_modified(before.modified()?);
        std::fs::File::options()
            .write(true)
            .open(&behind)?
            .set_times(times)?;
        ensure(
            std::fs::metadata(&behind)?.mtime_nsec() == before.mtime_nsec(),
            "its time",
        )?;
        guard.release()?;
        let Err(error) = copy.await? else {
            return Err("a copy of two contents succeeded".into());
        };
        ensure(
            error.kind() == std::io::ErrorKind::ResourceBusy,
            format!("{error:?}"),
        )?;
        ensure(!to.path().join("to").exists(), "it has its name")?;
        Ok(())
    })
}

/// A file or directory of a user's, with this mode.
fn of_user(dir: &Path, name: &str, mode: u32, is_dir: bool) -> std::io::Result<PathBuf> {
    let path = dir.join(name);
    if is_dir {
        std::fs::create_dir(&path)?;
    } else {
        std::fs::write(&path, "text")?;
    }
    chown(&path, Some(1234), Some(1234))?;
    std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
    Ok(path)
}

/// Set-user-id and set-group-id bits go to a copy only with owner and group, whatever carries the mode over.
pub(crate) fn rights_go_with_their_owner(route: Route) -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        println!("skip: rights_go_with_their_owner: it takes root to own what is somebody else's");
        return Ok(());
    }
    let mode_of = |path: &Path| std::fs::metadata(path).map(|found| found.mode() & 0o7777);
    on(route, |_| async move {
        let dir = tempfile::tempdir()?;
        let with_owner = Preserve {
            owner: true,
            ..Preserve::default()
        };
        for (index, mode) in [0o4755, 0o2755, 0o6777, 0o1644, 0o755]
            .into_iter()
            .enumerate()
        {
            for is_dir in [false, true] {
                let name = |text: &str| format!("{text}{index}{is_dir}");
                let from = of_user(dir.path(), &name("from"), mode, is_dir)?;
                for (preserve, expected) in
                    [(Preserve::default(), mode & 0o1777), (with_owner, mode)]
                {
                    let to = dir.path().join(name(&format!("to{}", preserve.owner)));
                    if is_dir {
                        std::fs::create_dir(&to)?;
                    } else {
                        // It replaces a file of root's that all may run as root.
                        std::fs::write(&to, "")?;
                        std::fs::set_permissions(&to, Permissions::from_mode(0o4755))?;
                    }
                    let warnings = fs::copy_metadata(&from, &to, preserve).await?;
                    ensure(warnings.is_empty(), format!("{warnings:?}"))?;
                    let found = mode_of(&to)?;
                    ensure(
                        found == expected,
                        format!("{found:o} for {mode:o}, {preserve:?}"),
                    )?;
                }
                if !is_dir {
                    let to = dir.path().join(name("copy"));
                    fs::copy(&from, &to).await?;
                    let found = mode_of(&to)?;
                    ensure(
                        found == mode & 0o1777,
                        format!("{found:o} of a copy of {mode:o}"),
                    )?;
                }
            }
        }
        Ok(())
    })
}
