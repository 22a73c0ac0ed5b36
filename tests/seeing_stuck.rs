//! What is seen while a disk is dead: every lane sleeps in the kernel, or every thread, and the log blocks.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "it is shared")]
#[path = "common/log.rs"]
mod log;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Completion, Trial};
    use tidegate::Route;
    use tidegate_rig::{FsKind, Requirements};

    tidegate_rig::init();
    let mut args = Arguments::from_args();
    // One at a time: the log is everybody's.
    args.test_threads = Some(1);
    let log = log::Log::start();
    let trials = [Route::Ring, Route::Pool].map(|route| {
        let log = log.clone();
        let name = format!("{route:?}::a_dead_disk_and_a_log_that_blocks_leave_the_heartbeat");
        let shown = name.clone();
        Trial::ignorable_test(name, move || {
            let mut missing = Requirements::disk(FsKind::Ext4).missing();
            if let (Route::Ring, Some(reason)) = (route, tidegate::probe::report().ring_reason()) {
                missing.push(format!("a ring: {reason}"));
            }
            if missing.is_empty() {
                dead_disk::run(route, &log)?;
                return Ok(Completion::Completed);
            }
            let reason = missing.join(", ");
            println!("skip: {shown}: {reason}");
            Ok(Completion::ignored_with(reason))
        })
    });
    libtest_mimic::run(&args, trials.into()).exit_code()
}

#[cfg(target_os = "linux")]
mod dead_disk {
    use std::io;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use tidegate::fs::File;
    use tidegate::opcode::Kind;
    use tidegate::{Handle, Route};
    use tidegate_rig::files::{self, first_difference};
    use tidegate_rig::{FsKind, HeldDisk, Request};
    use tokio::task::JoinSet;

    use crate::log::Log;

    /// More than all the lanes of a mount take in one batch each.
    const READS: u64 = 400;
    const BLOCK: usize = 4096;
    /// Shorter than what operations may take.
    const LONG: Duration = Duration::from_secs(20);
    const BEAT: Duration = Duration::from_millis(10);

    /// Holds the disk while `scene` runs, which says when; both block, so each has a thread.
    pub(crate) fn run(route: Route, log: &Log) -> io::Result<()> {
        let disk = HeldDisk::options(FsKind::Ext4, 64 << 20)
            .with_max_hold(Duration::from_secs(60))
            .create()?;
        let cold = files::fragmented(&disk.path().join("cold"), READS, BLOCK as u64)?;
        disk.remount()?;
        let (ready, is_ready) = channel();
        let (held, is_held) = channel();
        let (seen, was_seen) = channel();
        let log = log.clone();
        let scene = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(scene(route, &log, &cold, ready, is_held, seen));
        });
        let hold = match is_ready.recv() {
            Ok(()) => Some(disk.hold(&[Request::Read, Request::Write, Request::Fsync])?),
            Err(_) => None,
        };
        let _ = held.send(());
        // Fails at once if the scene ended without it.
        let _ = was_seen.recv();
        drop(hold);
        scene.join().unwrap();
        Ok(())
    }

    async fn scene(
        route: Route,
        log: &Log,
        cold: &files::Fragmented,
        ready: Sender<()>,
        held: Receiver<()>,
        seen: Sender<()>,
    ) {
        let builder = Handle::builder().route(route).heartbeat_interval(BEAT);
        let handle = builder.warn_after(BEAT * 2).install().unwrap();
        let file = Arc::new(File::open(cold.path()).await.unwrap());
        ready.send(()).unwrap();
        held.recv().unwrap();
        log.take();
        log.hold();
        let mut beats = handle.heartbeat();
        let mut reads = JoinSet::new();
        for number in 0..READS {
            let (file, offset) = (file.clone(), cold.offset_of(number));
            reads.spawn(async move {
                let bytes = file.read_exact_at(vec![0; BLOCK], offset).await.unwrap();
                assert_eq!(first_difference(offset, &bytes), None);
            });
        }
        // The log blocks from its first line on, and lanes are replaced until there may be no more.
        let all_stuck = || match route {
            Route::Pool => handle.stats().pool_threads >= 64,
            _ => handle.stats().lanes_replaced >= 4,
        };
        let stuck = async {
            while !(all_stuck() && log.held() == 1) {
                beats.changed().await.unwrap();
            }
        };
        let stuck = tokio::time::timeout(LONG, stuck).await;
        assert!(stuck.is_ok(), "{} {:?}", log.held(), handle.stats());
        let mut last = beats.borrow_and_update().beat;
        for _ in 0..5 {
            beats.changed().await.unwrap();
            let beat = beats.borrow_and_update().clone();
            let oldest = beat.oldest.expect("reads are in flight");
            assert!(beat.beat > last && beat.in_flight >= READS);
            assert_eq!(oldest.operation, Kind::Read);
            last = beat.beat;
        }
        assert!(log.lines().is_empty());
        seen.send(()).unwrap();
        while let Some(read) = reads.join_next().await {
            read.unwrap();
        }
        log.let_go();
        // What found no room while the log blocked was counted.
        let events = || READS + handle.stats().lanes_replaced;
        while told(&log.lines()) < events() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(file);
        while handle.stats().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(
            beats
                .wait_for(|beat| beat.in_flight == 0)
                .await
                .unwrap()
                .oldest,
            None
        );
        assert_eq!(told(&log.lines()), events());
    }

    /// How many slow reads and replaced lanes the log has, with those that it was told the number of.
    fn told(lines: &[String]) -> u64 {
        let count = |line: &String| {
            let suppressed = line.split("suppressed=").nth(1);
            let suppressed = suppressed.and_then(|rest| rest.split(' ').next()?.parse().ok());
            let is_one = line.contains("takes long") || line.contains("class=");
            suppressed.unwrap_or(u64::from(is_one))
        };
        lines.iter().map(count).sum()
    }
}
