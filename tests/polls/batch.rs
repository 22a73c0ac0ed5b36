//! The calls of one state under one hold. What sleeps ends the batch at once; the rest goes into the next.

use std::fs::{self, File as StdFile, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use nix::mount::MsFlags;
use tidegate::Handle;
use tidegate::fs::{Dir, File};
use tokio::runtime::Runtime;

use crate::calls::{Act, Call, How, Site};
use crate::stage::{Bind, Stage};
use crate::states::{Seen, State, Target};
use crate::watch::{
    Doing, Inside, LOOK_EVERY, Observer, Sleeper, Watched, asleep_workers, describe_workers,
};

/// Everything here ends long before this, or not at all.
const WAIT: Duration = Duration::from_secs(20);
/// How long calls that have returned are still looked at, as they may be polled again.
const LINGER_LOOKS: u32 = 3;
/// A call that has not been polled once after so many is not going to be.
const LOOKS_MAX: u32 = 600;
/// How often the threads of the runtime are looked at meanwhile: one that sleeps outside of a poll polls nothing.
const LOOKS_PER_WORKERS: u32 = 60;
/// A batch has directories for so many calls at least: what describes the control's file is not in a block with what
/// describes files that are changed before the hold.
const DIRS_MIN: usize = 24;
/// No batch is held for longer.
const HELD_MAX: Duration = Duration::from_secs(4);

/// Where a future is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a thread that has entered the runtime.
    Thread,
    /// In a thread of the runtime.
    Worker,
}

/// What looks at a state, with the handle of its runtime.
pub(crate) struct Scene<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) runtime: &'a Runtime,
    pub(crate) handle: &'a Handle,
    pub(crate) place: Place,
    /// Whether what is in memory is answered at the poll.
    pub(crate) answers: bool,
}

/// What came of one batch.
#[derive(Default)]
pub(crate) struct Outcome {
    /// How many calls are done, in their order.
    pub(crate) done: usize,
    pub(crate) failed: Vec<String>,
    pub(crate) skipped: Vec<String>,
    pub(crate) slept: Option<bool>,
}

pub(crate) struct Batch<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) state: &'a State,
    /// Where its files are, on the storage's own mount.
    root: PathBuf,
    /// The directory of each call, then that of the control.
    dirs: Vec<PathBuf>,
    /// The same as the library sees them.
    seen: Vec<PathBuf>,
    binds: Vec<Bind>,
}

impl<'a> Batch<'a> {
    fn make(stage: &'a Stage, state: &'a State, calls: usize) -> io::Result<Batch<'a>> {
        static BATCHES: AtomicU32 = AtomicU32::new(0);
        let number = BATCHES.fetch_add(1, Ordering::Relaxed);
        let root = stage.root().join(format!("batch-{number}"));
        let dirs: Vec<_> = (0..=calls.max(DIRS_MIN))
            .map(|number| root.join(number.to_string()))
            .collect();
        fs::create_dir(&root)?;
        dirs.iter().try_for_each(fs::create_dir)?;
        for name in ["sentinel", "spare"] {
            fs::write(root.join(name), name)?;
        }
        let mut batch = Batch {
            stage,
            state,
            root,
            dirs,
            seen: Vec::new(),
            binds: Vec::new(),
        };
        (state.make)(&batch)?;
        stage.chill()?;
        batch.bind()?;
        // The first commit on a new mount begins with the journal's own block: the one that is held is a later one.
        let spare = batch.open_spare()?;
        spare.set_permissions(fs::Permissions::from_mode(0o640))?;
        spare.sync_all()?;
        (state.warm)(&batch)?;
        Ok(batch)
    }

    fn bind(&mut self) -> io::Result<()> {
        let flags = match self.state.seen {
            Seen::Changed { .. } => MsFlags::MS_NOATIME,
            Seen::Fresh | Seen::Known => MsFlags::empty(),
        };
        let bind = self.stage.bind(&self.root, flags)?;
        let seen = |dir: &PathBuf| bind.path().join(dir.file_name().unwrap_or_default());
        self.seen = self.dirs.iter().map(seen).collect();
        self.binds.push(bind);
        if self.state.seen == Seen::Fresh {
            for at in 0..self.dirs.len() - 1 {
                let bind = self.stage.bind(&self.dirs[at], MsFlags::empty())?;
                self.seen[at] = bind.path().to_owned();
                self.binds.push(bind);
            }
        }
        Ok(())
    }

    /// The directories of all calls and of the control.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(PathBuf::as_path)
    }

    pub(crate) fn control(&self) -> &Path {
        self.dirs.last().map_or(Path::new(""), PathBuf::as_path)
    }

    pub(crate) fn control_seen(&self) -> &Path {
        self.seen.last().map_or(Path::new(""), PathBuf::as_path)
    }

    /// A file that no call knows.
    pub(crate) fn open_spare(&self) -> io::Result<StdFile> {
        StdFile::open(self.root.join("spare"))
    }

    fn sentinel(&self) -> PathBuf {
        self.binds[0].path().join("sentinel")
    }

    fn change_mount(&self) -> io::Result<()> {
        match self.state.seen {
            Seen::Changed { strict: true } => self.binds[0].change(MsFlags::MS_STRICTATIME),
            Seen::Changed { strict: false } => self.binds[0].change(MsFlags::MS_RELATIME),
            Seen::Fresh | Seen::Known => Ok(()),
        }
    }

    /// A pipe is open at its other end, with something in it.
    fn peers(&self) -> io::Result<Vec<StdFile>> {
        let open = |dir: &Path| {
            let mut options = OpenOptions::new();
            let mut peer = options
                .read(true)
                .write(true)
                .open(self.state.path_in(dir))?;
            peer.write_all(&[b'\n'; 512])?;
            Ok(peer)
        };
        match self.state.target {
            Target::Fifo => self.dirs().map(open).collect(),
            _ => Ok(Vec::new()),
        }
    }

    fn site(&self, at: usize) -> Site {
        Site {
            dir: self.seen[at].clone(),
            name: self.state.target.name(),
            offset: self.state.offset,
            length: self.state.length,
        }
    }
}

/// Makes the state, holds the storage, makes the calls, and releases it.
pub(crate) fn run(scene: &Scene<'_>, state: &State, calls: &[&Call]) -> Result<Outcome, String> {
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let batch = Batch::make(scene.stage, state, calls.len()).map_err(said("making the state"))?;
    let peers = batch
        .peers()
        .map_err(said("opening the pipes' other ends"))?;
    scene.learn(&batch)?;
    let mut outcome = Outcome::default();
    let mut ready = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        match scene.runtime.block_on(scene.prepare(&batch, at, call)) {
            Ok(doing) => ready.push((call.name, Some(doing))),
            Err(error) if is_allowed(call, &error) => {
                outcome.skipped.push(format!("{}: {error}", call.name));
                ready.push((call.name, None));
            }
            Err(error) => return Err(format!("preparing {}: {error}", call.name)),
        }
    }
    scene.wait_idle()?;
    let control = state.control.as_ref();
    let control = control.map(|control| Ok((control.what, (control.prepare)(&batch)?)));
    let control = control.transpose().map_err(said("preparing the control"))?;
    let files = (state.before)(&batch).map_err(said("the last step before the hold"))?;
    batch.change_mount().map_err(said("changing the mount"))?;

    let guard = scene.stage.hold().map_err(said("holding"))?;
    let began = Instant::now();
    let during = (state.during)(&batch).map_err(said("while held"))?;
    let is_held = start_held_control(&batch);
    let control = control.map(|(what, body)| Sleeper::start(what, body));
    let tasks = scene.play(&batch, ready, began, &mut outcome);
    let proof = prove(scene, is_held.as_ref(), &during);
    outcome.slept = control.as_ref().map(Sleeper::falls_asleep);
    let proof = proof.and_then(|()| prove(scene, is_held.as_ref(), &during));
    drop(guard);

    drop((files, peers));
    let sleepers = is_held.into_iter().chain(control).chain(during);
    sleepers.for_each(Sleeper::join);
    scene.finish(tasks, &mut outcome)?;
    scene.wait_idle()?;
    let mut binds = batch.binds.into_iter();
    binds.try_for_each(Bind::end).map_err(said("unmounting"))?;
    // The next one may need the room.
    fs::remove_dir_all(&batch.root).map_err(said("removing the files"))?;
    proof?;
    Ok(outcome)
}

/// Whether the filesystem may refuse it.
fn is_allowed(call: &Call, error: &io::Error) -> bool {
    matches!(call.act, Act::Handle(How::Direct, _)) && error.raw_os_error() == Some(libc::EINVAL)
}

/// Something that does not come back before the release.
fn start_held_control(batch: &Batch<'_>) -> Option<Sleeper> {
    let Some(device) = batch.stage.device() else {
        let path = batch.root.join("spare");
        return batch
            .stage
            .hold_is_real()
            .then(|| Sleeper::start("an open by std", move || drop(StdFile::open(path))));
    };
    let mut options = OpenOptions::new();
    let device = options
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(device)
        .ok()?;
    Some(Sleeper::start("a read of the device", move || {
        let mut memory = vec![0_u8; 8192];
        let skip = memory.as_ptr().align_offset(4096);
        let _ = device.read_at(&mut memory[skip..skip + 4096], 32 << 20);
    }))
}

/// That the storage is held now, and that whoever is meant to sleep does.
fn prove(scene: &Scene<'_>, is_held: Option<&Sleeper>, during: &[Sleeper]) -> Result<(), String> {
    if !scene.stage.hold_is_real() {
        return Ok(());
    }
    let Some(is_held) = is_held else {
        return Err("nothing shows that the storage is held".to_owned());
    };
    if !is_held.falls_asleep() {
        return Err(format!("the storage is not held: {}", is_held.describe()));
    }
    match during.iter().find(|sleeper| !sleeper.sleeps()) {
        Some(sleeper) => Err(format!("{} did not sleep all the time", sleeper.name)),
        None => Ok(()),
    }
}

impl Scene<'_> {
    fn expects_answers(&self, state: &State) -> bool {
        self.answers && self.stage.fs.is_local() && state.seen != Seen::Fresh
    }

    /// Has the library find out about the mount.
    fn learn(&self, batch: &Batch<'_>) -> Result<(), String> {
        if batch.state.seen == Seen::Fresh {
            return Ok(());
        }
        let end = Instant::now() + WAIT;
        let mut looks = 0;
        loop {
            let look = tidegate::fs::metadata(batch.sentinel());
            let answered = self.runtime.block_on(async {
                let mut look = Box::pin(look);
                let first = futures::poll!(&mut look);
                if first.is_pending() {
                    let _ = look.await;
                }
                first.is_ready()
            });
            looks += 1;
            if answered || !self.expects_answers(batch.state) && looks > 3 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err("the mount is never answered for at the poll".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What comes before the hold. What comes back is one future that has not been polled.
    async fn prepare(&self, batch: &Batch<'_>, at: usize, call: &Call) -> io::Result<Doing> {
        let site = batch.site(at);
        match call.act {
            Act::Path(act) => Ok(act(site)),
            Act::Dir(act) => Ok(act(Dir::open(&site.dir).await?, site)),
            Act::Entry(act) => {
                let mut list = tidegate::fs::read_dir(&site.dir).await?;
                match list.next_entry().await? {
                    Some(entry) => Ok(act(entry, list)),
                    None => Err(io::Error::other("an empty directory")),
                }
            }
            Act::Handle(how, act) if batch.state.seen == Seen::Fresh => {
                let std = std_options(how).open(site.path())?;
                Ok(Box::pin(
                    async move { act(File::from_std(std), site).await },
                ))
            }
            Act::Handle(how, act) => {
                let file = how.options().open(site.path()).await?;
                if batch.state.primes && how != How::Direct {
                    let read = file.read_at(vec![0; site.length], site.offset).await;
                    read.map_err(|error| error.error)?;
                }
                Ok(act(file, site))
            }
        }
    }

    /// Makes one call after the other until one sleeps, or the mount is left alone for a while.
    fn play(
        &self,
        batch: &Batch<'_>,
        ready: Vec<(&'static str, Option<Doing>)>,
        began: Instant,
        outcome: &mut Outcome,
    ) -> Vec<(&'static str, Arc<Inside>)> {
        let mut observers: Vec<(&'static str, Observer)> = Vec::new();
        let mut rest = Vec::new();
        let mut is_over = false;
        for (name, doing) in ready {
            let Some(doing) = doing else {
                outcome.done += usize::from(!is_over);
                continue;
            };
            is_over = is_over || began.elapsed() > HELD_MAX || !self.is_sighted(batch);
            if is_over {
                rest.push(doing);
                continue;
            }
            let inside = self.start(doing);
            observers.push((name, Observer::new(inside.clone())));
            let slept = await_return(&mut observers, &inside);
            outcome.done += 1;
            is_over = !slept.is_empty();
            outcome.failed.extend(slept);
        }
        for _ in 0..LINGER_LOOKS {
            if outcome.failed.is_empty() {
                std::thread::sleep(LOOK_EVERY);
                outcome.failed.extend(look_at_all(&mut observers));
            }
        }
        if outcome.failed.is_empty() {
            let asleep = asleep_workers().into_iter();
            let last = observers.last().map_or("", |(name, _)| name);
            let told =
                asleep.map(|how| format!("a worker outside of all polls, up to {last}: {how}"));
            outcome.failed.extend(told);
        }
        // Never polled; what they hold is closed where nothing is judged.
        let (runtime, rest) = (self.runtime.handle().clone(), rest);
        std::thread::spawn(move || {
            let _entered = runtime.enter();
            drop(rest);
        });
        let tasks = observers.into_iter();
        tasks
            .map(|(name, observer)| (name, observer.inside))
            .collect()
    }

    /// Polls it as its place has it.
    fn start(&self, doing: Doing) -> Arc<Inside> {
        let (watched, inside) = Watched::new(doing);
        match self.place {
            Place::Worker => drop(self.runtime.spawn(watched)),
            Place::Thread => {
                let runtime = self.runtime.handle().clone();
                std::thread::spawn(move || {
                    let _entered = runtime.enter();
                    let mut watched = Box::pin(watched);
                    let mut cx = Context::from_waker(Waker::noop());
                    if watched.as_mut().poll(&mut cx).is_pending() {
                        runtime.spawn(watched);
                    }
                });
            }
        }
        inside
    }

    /// Whether the library answers on this mount at the poll right now.
    fn is_sighted(&self, batch: &Batch<'_>) -> bool {
        if !self.expects_answers(batch.state) {
            return true;
        }
        let (tell, hear) = std::sync::mpsc::channel();
        let path = batch.sentinel();
        self.runtime.spawn(async move {
            let first = futures::poll!(Box::pin(tidegate::fs::metadata(path)));
            let _ = tell.send(first.is_ready());
        });
        hear.recv_timeout(Duration::from_secs(1)).unwrap_or(false)
    }

    /// Everything comes to its end now.
    fn finish(
        &self,
        tasks: Vec<(&'static str, Arc<Inside>)>,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let end = Instant::now() + WAIT;
        for (name, inside) in tasks {
            while !inside.is_over() {
                if Instant::now() > end {
                    return Err(format!("{name} does not come to an end after the release"));
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            match inside.take() {
                Some(kept) => self.runtime.block_on(async { drop(kept) }),
                None => outcome.failed.push(format!("{name}: panicked")),
            }
        }
        Ok(())
    }

    /// Waits until the handle has nothing in flight.
    fn wait_idle(&self) -> Result<(), String> {
        let end = Instant::now() + WAIT;
        while self.handle.stats().in_flight > 0 {
            if Instant::now() > end {
                return Err(format!("not idle: {:?}", self.handle.in_flight()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}

/// Waits until the last one has returned; what was seen asleep meanwhile.
fn await_return(observers: &mut [(&'static str, Observer)], inside: &Inside) -> Vec<String> {
    for _ in 0..200 {
        if inside.has_returned() {
            return Vec::new();
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    for looks in 1..LOOKS_MAX {
        if inside.has_returned() {
            return Vec::new();
        }
        if looks % LOOKS_PER_WORKERS == 0 && !asleep_workers().is_empty() {
            break;
        }
        let slept = look_at_all(observers);
        if !slept.is_empty() {
            return slept;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let name = observers.last().map_or("", |(name, _)| name);
    let workers = describe_workers();
    vec![format!(
        "{name}: is not polled, while the workers are: {workers}"
    )]
}

fn look_at_all(observers: &mut [(&'static str, Observer)]) -> Vec<String> {
    let slept = observers.iter_mut().filter_map(|(name, observer)| {
        let how = observer.look()?;
        Some(format!("{name}: {how}"))
    });
    slept.collect()
}

fn std_options(how: How) -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = match how {
        How::Direct => libc::O_DIRECT,
        How::NoAtime => libc::O_NOATIME,
        How::Read | How::ReadWrite => 0,
    };
    options.read(true).write(how.writes()).custom_flags(flags);
    options
}
