//! Giving paths new content all at once: many files in one hop, so that they share syncs.
//!
//! Files that are to be committed on one mount wait in a queue. A thread takes some of them, writes them, begins to
//! write them to the device, syncs them, gives them their names and syncs each directory once. Those that come
//! meanwhile are the next group.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, oneshot};

use super::elsewhere::Elsewhere;
use super::file::SharedFile;
use super::hop::{Steps, hop, hop_on};
use super::locate::locate;
use super::on_mount::OnMount;
use super::open::flag;
use crate::base::clock::coarse_ms;
use crate::base::fork::Born;
use crate::base::lock::lock;
use crate::buf::IoBuf;
use crate::driver::chore::Chore;
use crate::driver::{self, Driver};
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::mem::bytes_of;
use crate::mounts::Mount;
use crate::op::waiting::{unless_forked, within_limits};
use crate::opcode::Kind;
use crate::sys::journal::{self, Journal};
use crate::sys::path::c_path;
use crate::sys::replace;
pub(crate) use crate::sys::replace::{Draft, Replace};

/// What is to become of a path.
pub(crate) struct Commit {
    pub(crate) path: PathBuf,
    pub(crate) how: Replace,
    /// A file that was begun before.
    pub(crate) draft: Option<Elsewhere<Draft>>,
    /// What is written to it, from this offset on.
    pub(crate) content: Vec<Box<dyn IoBuf>>,
    pub(crate) offset: u64,
    /// Whom it counts for.
    pub(crate) held: Option<Held>,
}

/// A place among the files that are in flight together.
pub(crate) struct Held {
    pub(crate) tally: Arc<Tally>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// How many files came to which end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) committed: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// A forked child cannot wait for what its parent has in flight.
    born: Born,
}

impl Tally {
    /// Waits for places among the files in flight.
    pub(crate) async fn wait<T>(
        &self,
        place: impl Future<Output = Result<T, AcquireError>>,
    ) -> io::Result<T> {
        let place = async { place.await.map_err(|_| io::ErrorKind::BrokenPipe.into()) };
        unless_forked(self.born, Kind::CommitFile, place).await
    }
}

impl Held {
    fn count(held: &Option<Held>, is_done: bool) {
        let Some(Held { tally, .. }) = held else {
            return;
        };
        let count = match is_done {
            true => &tally.committed,
            false => &tally.failed,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// Begins a file, to write to it before it is committed, through a descriptor of its own.
pub(crate) async fn begin(
    path: &Path,
    how: &Replace,
) -> io::Result<(Elsewhere<Draft>, Arc<SharedFile>)> {
    let driver = driver::current()?;
    let (owned, how) = (path.to_path_buf(), how.clone());
    let draft = hop(Kind::CommitFile, path, move |_| {
        let draft = Draft::begin(&owned, &how)?;
        let fd = draft.descriptor()?;
        Ok((Elsewhere::new(draft), fd))
    });
    let (draft, fd) = draft.await?;
    Ok((draft, SharedFile::new(&driver, fd, flag::O_RDWR)))
}

/// A file that a parent of this process writes is not written or named by a forked child.
pub(crate) fn check_own(draft: &Elsewhere<Draft>) -> io::Result<()> {
    let born = draft.get().map(|draft| draft.born);
    Ok(born.map_or(Ok(()), |born| born.check(Kind::CommitFile))?)
}

/// Commits a file, together with others of its mount. It begins at once; the future says how it went, and gives the
/// file up if it is dropped before that has its name.
pub(crate) fn commit(commit: Commit) -> io::Result<impl Future<Output = io::Result<()>> + Send> {
    if let Some(draft) = &commit.draft {
        check_own(draft)?;
    }
    let driver = driver::current()?;
    let path = commit.path.clone();
    let named = |error| driver.tell(Kind::CommitFile, Some(&path), error);
    let mount = locate(&driver, &c_path(&path).map_err(named)?, true);
    let ticket = Arc::new(Ticket::default());
    let (told, done) = oneshot::channel();
    let waits = Waits(ticket.clone());
    let job = Job {
        commit,
        ticket,
        told,
    };
    // What hangs with a server is one file's own trouble.
    let by_itself = if driver.has_faults() || !mount.is_local() {
        let work = move |steps: &Steps| alone(job, steps);
        let hop = hop_on(&driver, &mount, Kind::CommitFile, &path, work);
        Some(hop)
    } else {
        driver.may_begin(Kind::CommitFile, &mount)?;
        let shared = driver.shared::<OnMount>(&mount);
        shared.commits.push(&driver, &mount, job);
        None
    };
    Ok(async move {
        if let Some(by_itself) = by_itself {
            return by_itself.await;
        }
        let done = async {
            let lost = Error::Closed {
                operation: Kind::CommitFile,
            };
            done.await.unwrap_or(Err(lost.into()))
        };
        let give_up = || waits.0.give_up();
        let done = within_limits(&driver, Kind::CommitFile, Some(&path), give_up, done);
        done.await
            .map_err(|error| driver.tell(Kind::CommitFile, Some(&path), error))
    })
}

/// How far a commit is, for the thread that does it and whoever waits for it.
#[derive(Default)]
struct Ticket(AtomicU8);

const WANTED: u8 = 0;
const GIVEN_UP: u8 = 1;
/// It gets its name, or has it.
const NAMED: u8 = 2;

impl Ticket {
    fn is_wanted(&self) -> bool {
        self.0.load(Ordering::SeqCst) == WANTED
    }

    /// Whether it may get its name: whoever was told that it was given up does not find it later.
    fn name(&self) -> bool {
        let swapped = self
            .0
            .compare_exchange(WANTED, NAMED, Ordering::SeqCst, Ordering::SeqCst);
        swapped.is_ok()
    }

    fn give_up(&self) -> LeftBehind {
        let swapped = self
            .0
            .compare_exchange(WANTED, GIVEN_UP, Ordering::SeqCst, Ordering::SeqCst);
        match swapped {
            Ok(_) | Err(GIVEN_UP) => LeftBehind::NothingHappened,
            Err(_) => LeftBehind::Detached,
        }
    }
}

/// Gives up on the commit when nobody waits any more.
struct Waits(Arc<Ticket>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

struct Job {
    commit: Commit,
    ticket: Arc<Ticket>,
    told: oneshot::Sender<io::Result<()>>,
}

impl Job {
    fn end(self, result: io::Result<()>) {
        Held::count(&self.commit.held, result.is_ok());
        let _ = self.told.send(result);
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Turns, and the files that they have.
    running: usize,
    taken: usize,
}

impl Queue {
    /// An even share of all that is on its way, so that the turns' groups are of one size; `back` are those whose
    /// tasks may be about to come with the next.
    fn share(&self, back: usize) -> usize {
        let all = self.jobs.len() + self.taken + back;
        all.div_ceil(self.running.max(1))
            .min(limits::COMMIT_GROUP_FILES)
    }
}

/// What is to be committed on one mount.
#[derive(Default)]
pub(super) struct Commits {
    queue: Mutex<Queue>,
    /// Until when the filesystem is not synced as a whole, in coarse milliseconds.
    rests_until_ms: AtomicU64,
}

impl Commits {
    fn push(self: &Arc<Self>, driver: &Arc<Driver>, mount: &Arc<Mount>, job: Job) {
        let mut queue = lock(&self.queue);
        queue.jobs.push_back(job);
        let starts = queue.running < limits::COMMIT_THREADS_MAX;
        queue.running += usize::from(starts);
        drop(queue);
        if starts {
            self.start(driver, mount);
        }
    }

    /// One group in a hop of its own, so that others that wait for a thread have their turn, and its age says how long
    /// the disk takes.
    fn start(self: &Arc<Self>, driver: &Arc<Driver>, mount: &Arc<Mount>) {
        let turn = Turn {
            commits: self.clone(),
            driver: driver.clone(),
            mount: mount.clone(),
            was_taken: false,
        };
        driver.start_for_others(Chore::new(Kind::CommitFile, move || turn.take()), mount);
    }

    fn next(&self) -> Vec<Job> {
        let mut queue = lock(&self.queue);
        let share = queue.share(0).min(queue.jobs.len());
        queue.taken += share;
        queue.jobs.drain(..share).collect()
    }

    /// So many files are done, for which that long was needed. Waits for the next of those who were told, so that the
    /// next group is as large; whoever has one after the other does not wait.
    fn done(&self, files: usize, took: Duration) {
        lock(&self.queue).taken -= files;
        let most = limits::COMMIT_LINGER.min(took / limits::COMMIT_LINGER_PART);
        let began = Instant::now();
        while files > 1 && began.elapsed() < most {
            let queue = lock(&self.queue);
            let back = files.saturating_sub(queue.jobs.len());
            if queue.jobs.len() >= queue.share(back) {
                return;
            }
            drop(queue);
            // Others need the processor to come.
            std::thread::yield_now();
        }
    }
}

/// One group's turn on a thread.
struct Turn {
    commits: Arc<Commits>,
    driver: Arc<Driver>,
    mount: Arc<Mount>,
    was_taken: bool,
}

impl Turn {
    fn take(mut self) {
        self.was_taken = true;
        let jobs = self.commits.next();
        let (files, began) = (jobs.len(), Instant::now());
        // Also if that panics.
        let _done = Done {
            commits: &self.commits,
            files,
            began,
        };
        self.commits.together(jobs);
    }
}

/// A group that is over when this is dropped.
struct Done<'a> {
    commits: &'a Commits,
    files: usize,
    began: Instant,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.commits.done(self.files, self.began.elapsed());
    }
}

impl Drop for Turn {
    /// Goes on with what came meanwhile. A turn that nobody took was refused, and so would the next be.
    fn drop(&mut self) {
        let mut queue = lock(&self.commits.queue);
        if self.was_taken && !queue.jobs.is_empty() {
            drop(queue);
            return self.commits.start(&self.driver, &self.mount);
        }
        queue.running -= 1;
        let refused = match self.was_taken {
            true => VecDeque::new(),
            false => std::mem::take(&mut queue.jobs),
        };
        drop(queue);
        for job in refused {
            let closed = || Error::Closed {
                operation: Kind::CommitFile,
            };
            let why = self.driver.may_begin(Kind::CommitFile, &self.mount);
            job.end(Err(why.err().unwrap_or_else(closed).into()));
        }
    }
}

/// A file of a group that has not failed yet.
struct Going {
    job: Job,
    draft: Draft,
    /// It was written to before this group.
    was_begun: bool,
    /// Nothing of its content is waited for any more.
    is_on_device: bool,
    dir: Option<Arc<File>>,
}

impl Commits {
    /// Commits a group: each step for all of them, so that one journal commit and one flush do for many.
    fn together(&self, jobs: Vec<Job>) {
        let steps = Steps::default();
        let mut group = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            if !job.ticket.is_wanted() {
                job.end(Err(io::ErrorKind::Interrupted.into()));
                continue;
            }
            let was_begun = job.commit.draft.is_some();
            match write(&mut job.commit, &steps) {
                Ok(draft) => group.push(Going {
                    job,
                    is_on_device: !draft.is_synced(),
                    draft,
                    was_begun,
                    dir: None,
                }),
                Err(error) => job.end(Err(error)),
            }
        }
        self.sync_content(&mut group);
        each(&mut group, |going| {
            if !going.job.ticket.name() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            going.dir = Some(going.draft.publish()?);
            Ok(())
        });
        let mut synced: Vec<((u64, u64), io::Result<()>)> = Vec::new();
        each(&mut group, |going| match &going.dir {
            Some(dir) if going.draft.is_synced() => sync_once(dir, &mut synced),
            _ => Ok(()),
        });
        for Going { job, draft, .. } in group {
            drop(draft);
            job.end(Ok(()));
        }
    }

    /// Waits until what was written is on the device: by one sync that does for many, else file by file. All of them
    /// are on their way first.
    fn sync_content(&self, group: &mut Vec<Going>) {
        let waiting = |group: &[Going]| group.iter().filter(|going| !going.is_on_device).count();
        if waiting(group) > 1 {
            let group = group.iter().filter(|going| !going.is_on_device);
            group.for_each(|going| going.draft.start_writeback());
        }
        let first = group.iter().find(|going| !going.is_on_device);
        if let (Some(first), 2..) = (first, waiting(group)) {
            let device = first.draft.device();
            match journal::of(first.draft.dir()) {
                Journal::Shared => sync_by_journal(group, device),
                Journal::Absent => self.sync_as_a_whole(group, device),
                Journal::Unknown => {}
            }
        }
        each(group, |going| match going.is_on_device {
            true => Ok(()),
            false => going.draft.sync(),
        });
    }

    /// Syncs all of a filesystem, if that does for many of the group and was quick so far.
    fn sync_as_a_whole(&self, group: &mut Vec<Going>, device: u64) {
        let is_one = |going: &Going| going.is_one_of(device) && !going.was_begun;
        let rests = coarse_ms() < self.rests_until_ms.load(Ordering::Relaxed);
        let are_many =
            group.iter().filter(|going| is_one(going)).count() >= limits::SYNC_GROUP_FILES;
        // Its directory was opened before anything was written, so that it hears of what failed for any of them.
        let first = group.iter().find(|going| is_one(going));
        let Some(first) = first.filter(|_| are_many && !rests && journal::is_cheap()) else {
            return;
        };
        let began = Instant::now();
        let synced = journal::sync_as_a_whole(first.draft.dir());
        if began.elapsed() > limits::SYNC_GROUP_SLOW {
            let rest_ms = limits::SYNC_GROUP_REST.as_millis() as u64;
            let until = coarse_ms() + rest_ms;
            self.rests_until_ms.store(until, Ordering::Relaxed);
        }
        all_are_on_device(group, is_one, &synced);
    }
}

impl Going {
    /// Whether it waits for this device.
    fn is_one_of(&self, device: u64) -> bool {
        !self.is_on_device && self.draft.device() == device
    }
}

/// Syncs all files of one filesystem by a sync of the last, which its journal puts behind the others. A file whose data
/// cannot be written is told of that.
fn sync_by_journal(group: &mut Vec<Going>, device: u64) {
    each(group, |going| match going.is_one_of(device) {
        true => going.draft.wait_for_writeback(),
        false => Ok(()),
    });
    let last = group.iter().rfind(|going| going.is_one_of(device));
    if let Some(synced) = last.and_then(|going| going.draft.sync_journal()) {
        all_are_on_device(group, |going| going.is_one_of(device), &synced);
    }
}

/// One sync was for all of these.
fn all_are_on_device(
    group: &mut Vec<Going>,
    is_one: impl Fn(&Going) -> bool,
    synced: &io::Result<()>,
) {
    each(group, |going| match synced {
        _ if !is_one(going) => Ok(()),
        Ok(()) => {
            going.is_on_device = true;
            Ok(())
        }
        Err(error) => Err(Error::same(error)),
    });
}

/// Writes what is to be committed.
fn write(commit: &mut Commit, steps: &Steps) -> io::Result<Draft> {
    let draft = match commit.draft.take() {
        Some(draft) => draft.into_inner(),
        None => Draft::begin(&commit.path, &commit.how)?,
    };
    let mut offset = commit.offset;
    for part in std::mem::take(&mut commit.content) {
        offset = draft.write(bytes_of(&*part), offset, steps)?;
    }
    draft.dress()?;
    Ok(draft)
}

/// Takes the step with each; whose fails is told, and goes.
fn each(group: &mut Vec<Going>, mut step: impl FnMut(&mut Going) -> io::Result<()>) {
    for mut going in std::mem::take(group) {
        match step(&mut going) {
            Ok(()) => group.push(going),
            Err(error) => {
                drop(going.draft);
                going.job.end(Err(error));
            }
        }
    }
}

/// Syncs a directory once for a group.
fn sync_once(dir: &File, synced: &mut Vec<((u64, u64), io::Result<()>)>) -> io::Result<()> {
    let identity = replace::identity(dir)?;
    let known = synced.iter().position(|(known, _)| *known == identity);
    let place = known.unwrap_or_else(|| {
        synced.push((identity, replace::sync_dir(dir)));
        synced.len() - 1
    });
    match &synced[place].1 {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::same(error)),
    }
}

/// Commits one file by itself.
fn alone(mut job: Job, steps: &Steps) -> io::Result<()> {
    let done = alone_in_steps(&mut job.commit, steps);
    Held::count(&job.commit.held, done.is_ok());
    done
}

fn alone_in_steps(commit: &mut Commit, steps: &Steps) -> io::Result<()> {
    let mut draft = write(commit, steps)?;
    if draft.is_synced() {
        draft.sync()?;
    }
    // Who was told that it is not committed does not find it later.
    steps.check()?;
    let dir = draft.publish()?;
    match draft.is_synced() {
        true => replace::sync_dir(&dir),
        false => Ok(()),
    }
}
