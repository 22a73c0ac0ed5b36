//! The cases.

use std::io::{self, ErrorKind};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::{BreakerState, OpExt};
use tidegate_rig::{FsKind, HeldDisk, Request};

use crate::scene::{Host, Outcome, PATIENCE, SOON, Scene, ensure, is_refused, threads, wait_until};

/// Operations there time out until one is refused; returns how many timed out.
fn until_refused(scene: &Scene, host: &Host) -> Result<u32, libtest_mimic::Failed> {
    let mut timeouts = 0;
    wait_until("refused", || {
        let looked = fs::metadata(scene.path("stuck")).timeout(SOON);
        match host.run(looked) {
            Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => timeouts += 1,
            Ok(Err(error)) => return is_refused(&error, scene.point()),
            _ => {}
        }
        false
    })?;
    Ok(timeouts)
}

/// What works where storage answers.
async fn work(dir: &std::path::Path) -> io::Result<()> {
    let path = dir.join("file");
    fs::write(&path, "healthy").await?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .await?;
    file.write_all_at(b"H".to_vec(), 0).await?;
    file.sync_all().await?;
    let (_, bytes) = file.read_at(vec![0; 7], 0).await?;
    assert_eq!(bytes, b"Healthy");
    file.close().await?;
    fs::remove_file(&path).await
}

/// After some timeouts everything there is refused at once, by name and with its buffer, and nothing
/// elsewhere; when the mount answers, it is used again without anybody asking.
pub(crate) fn dead(scene: &Scene) -> Outcome {
    let host = &scene.host;
    let open = || File::open(scene.path("fine"));
    let (kept, closed) = (host.run(open())??, host.run(open())??);
    let hold = scene.hold()?;
    let timeouts = until_refused(scene, host)?;
    ensure(timeouts >= 3, format!("refused after {timeouts} timeouts"))?;
    let stats = scene.stats();
    ensure(
        stats.state == BreakerState::Open && stats.refused >= 1,
        format!("{stats:?}"),
    )?;
    ensure(stats.timeouts >= u64::from(timeouts), format!("{stats:?}"))?;
    let fs_type = stats.fs_type.unwrap_or_default();
    ensure(fs_type == "fuse.tidegate-rig", fs_type)?;
    ensure(threads("tidegate-probe") == 1, "more than one thread asks")?;

    host.run(refused(scene, &kept))??;
    host.run(work(scene.healthy.path()))??;
    // A descriptor is closed whatever is refused.
    let error = host.run(closed.close().timeout(SOON))?.err();
    let in_time = error.is_none_or(|error| error.kind() == ErrorKind::TimedOut);
    ensure(in_time, "a close was refused")?;
    ensure(scene.tree.status()?.expired == 0, "the hold was over")?;

    hold.release()?;
    scene.wait_state(BreakerState::Closed)?;
    let metadata = host.run(fs::metadata(scene.path("stuck")))??;
    ensure(metadata.len() == 5, "another file")?;
    let (count, _) = host
        .run(kept.read_at(vec![0; 4], 0))?
        .map_err(|e| e.error)?;
    ensure(count == 4, "the open file is of no use")?;
    wait_until("nothing is stuck", || scene.stats().stuck == 0)
}

/// Operations of each class, on paths and on an open file.
async fn refused(scene: &Scene, file: &File) -> Result<(), String> {
    let path = scene.path("fine");
    let read = file.read_at(vec![7; 3], 0).await.map(drop);
    let (read, buf) = read.map_err(|error| error.into_parts()).unwrap_err();
    if buf != Some(vec![7; 3]) {
        return Err(format!("the buffer does not come back: {buf:?}"));
    }
    let others = [
        ("read", Err(read)),
        ("metadata", fs::metadata(&path).await.map(drop)),
        ("open", File::open(&path).await.map(drop)),
        ("read_file", fs::read(&path).await.map(drop)),
        ("write_file", fs::write(scene.path("new"), "x").await),
        ("rename", fs::rename(&path, scene.path("other")).await),
        ("sync", file.sync_all().await),
        ("read_dir", fs::read_dir(scene.point()).await.map(drop)),
    ];
    for (name, result) in others {
        let error = match result {
            Err(error) if is_refused(&error, scene.point()) => error,
            other => return Err(format!("{name}: {other:?}")),
        };
        let told = error
            .to_string()
            .contains(&*scene.point().to_string_lossy());
        if error.kind() != ErrorKind::HostUnreachable || !told {
            return Err(format!("{name}: {error} ({:?})", error.kind()));
        }
    }
    Ok(())
}

/// Many timeouts in a row, for much longer than the mount may take to answer: it answers.
pub(crate) fn some(scene: &Scene) -> Outcome {
    let hold = scene.tree.hold(&Request::ALL, "/stuck")?;
    let (began, mut timeouts) = (Instant::now(), 0);
    while timeouts < 10 || began.elapsed() < 2 * PATIENCE {
        let looked = fs::metadata(scene.path("stuck")).timeout(SOON);
        let error = scene.host.run(looked)?.err();
        let kind = error.as_ref().map(io::Error::kind);
        ensure(kind == Some(ErrorKind::TimedOut), format!("{error:?}"))?;
        timeouts += 1;
        let stats = scene.stats();
        ensure(stats.state == BreakerState::Closed, format!("{stats:?}"))?;
    }
    scene.host.run(fs::metadata(scene.path("fine")))??;
    let stats = scene.stats();
    ensure(
        stats.timeouts == timeouts && stats.refused == 0,
        format!("{stats:?}"),
    )?;
    hold.release()?;
    Ok(())
}

/// Where every second operation is answered, the mount is not even asked.
pub(crate) fn mixed(scene: &Scene) -> Outcome {
    let hold = scene.tree.hold(&Request::ALL, "/stuck")?;
    // The question is for the root, of which nobody else asks anything.
    for _ in 0..8 {
        let stuck = scene
            .host
            .run(fs::metadata(scene.path("stuck")).timeout(SOON))?;
        ensure(stuck.is_err(), "not stuck, so this shows nothing")?;
        scene.host.run(fs::metadata(scene.path("fine")))??;
        ensure(threads("tidegate-probe") == 0, "the mount was asked")?;
    }
    hold.release()?;
    Ok(())
}

/// Who has killed the server gets its error at once, also while the mount was refused; what was stuck is
/// over then.
pub(crate) fn killed(scene: &Scene) -> Outcome {
    let hold = scene.hold()?;
    until_refused(scene, &scene.host)?;
    let server = scene.tree.server_id().ok_or("no server")?;
    kill(Pid::from_raw(server as i32), Signal::SIGKILL)?;
    drop(hold);
    scene.wait_state(BreakerState::Closed)?;
    wait_until("nothing is stuck", || scene.stats().stuck == 0)?;
    for _ in 0..10 {
        let error = scene.host.run(fs::metadata(scene.path("fine")))?.err();
        let number = error.as_ref().and_then(tidegate::raw_os_error);
        let expected = Some(nix::errno::Errno::ENOTCONN as i32);
        ensure(number == expected, format!("{error:?}"))?;
    }
    let stats = scene.stats();
    ensure(stats.state == BreakerState::Closed, format!("{stats:?}"))?;
    wait_until("nothing asks", || threads("tidegate-probe") == 0)
}

/// A second handle, and a third after the second is gone, wait for the answer that the first one asked for.
pub(crate) fn shared(scene: &Scene) -> Outcome {
    let hosts = [Host::new(scene.route)?, Host::new(scene.route)?];
    for host in &hosts {
        scene.meet(host)?;
    }
    let hold = scene.hold()?;
    until_refused(scene, &scene.host)?;
    let [second, third] = hosts;
    until_refused(scene, &second)?;
    drop(second);
    until_refused(scene, &third)?;
    ensure(threads("tidegate-probe") == 1, "more than one thread asks")?;
    hold.release()?;
    for host in [&scene.host, &third] {
        wait_until("closed", || {
            host.stats(scene.point()).state == BreakerState::Closed
        })?;
        host.run(fs::metadata(scene.path("fine")))??;
    }
    Ok(())
}

/// The attributes of the root are in memory, so the filesystem of a dead disk answers: what needs the disk
/// times out, each by itself, and what does not is done.
pub(crate) fn disk(scene: &Scene) -> Outcome {
    let disk = HeldDisk::new(FsKind::Ext4, 64 << 20)?;
    let host = &scene.host;
    let path = disk.path().join("file");
    let file = host.run(File::create(&path))??;
    let point = disk.path().canonicalize()?;
    wait_until("the mount is known", || {
        host.run(file.sync_all()).is_ok() && host.stats(&point).point.is_some()
    })?;
    host.run(file.write_all_at(vec![1; 4096], 0))?
        .map_err(|e| e.error)?;
    let hold = disk.hold(&[Request::Read, Request::Write, Request::Fsync])?;
    let began = Instant::now();
    while began.elapsed() < 2 * PATIENCE {
        let error = host.run(file.sync_all().timeout(SOON))?.err();
        let kind = error.as_ref().map(io::Error::kind);
        ensure(kind == Some(ErrorKind::TimedOut), format!("{error:?}"))?;
    }
    let stats = host.stats(&point);
    ensure(stats.timeouts >= 3, format!("{stats:?}"))?;
    ensure(stats.state == BreakerState::Closed, format!("{stats:?}"))?;
    host.run(fs::metadata(&path))??;
    hold.release()?;
    wait_until("nothing is stuck", || host.stats(&point).stuck == 0)?;
    host.run(file.close())??;
    Ok(())
}
