//! Processes of their own, for what happens to a process: it is this test binary, executed again.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use tidegate::fs::{self, File};
use tidegate::{Error, Handle};
use tidegate_rig::Cgroup;

use crate::stage::{
    ISOLATED, LIMIT, Outcome, WAIT, WAYS, Way, current_thread, ensure, until_blocking,
};

const PLAN_ENV: &str = "TIDEGATE_STALLS_CHILD";

/// Runs the plan that this process was started for, if it was.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let plan = std::env::var(PLAN_ENV).ok()?;
    let mut args = std::env::args().skip(1);
    let way = args.next().unwrap_or_default();
    let mut ways = WAYS.into_iter().chain(ISOLATED);
    let way = ways.find(|known| known.name == way).unwrap_or(WAYS[0]);
    let path = PathBuf::from(args.next().unwrap_or_default());
    let threads = args.next().and_then(|arg| arg.parse().ok()).unwrap_or(0);
    let done = match plan.as_str() {
        "exec" => leave(way, &path, true),
        "exit" => leave(way, &path, false),
        _ => few_threads(way, &path, threads),
    };
    if let Err(error) = done {
        println!("failed: {}", error.message().unwrap_or("without a message"));
        return Some(ExitCode::FAILURE);
    }
    Some(ExitCode::SUCCESS)
}

/// A child that runs a plan, and what it says.
pub(crate) struct Planned {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Planned {
    pub(crate) fn start(plan: &str, way: Way, path: &Path, threads: usize) -> io::Result<Planned> {
        let mut child = Command::new("/proc/self/exe")
            .env(PLAN_ENV, plan)
            .arg(way.name)
            .arg(path)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Planned {
            child,
            lines: BufReader::new(out),
        })
    }

    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Lets it go on.
    pub(crate) fn go_on(&mut self) -> io::Result<()> {
        self.child
            .stdin
            .take()
            .map_or(Ok(()), |mut stdin| writeln!(stdin))
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, and returns the rest of what it said.
    pub(crate) fn end(mut self) -> Result<String, String> {
        let waited = until_blocking("the child ends", || !self.is_alive());
        if waited.is_err() {
            let _ = self.child.kill();
        }
        waited?;
        let mut rest = String::new();
        let read = self.lines.read_to_string(&mut rest);
        read.map_err(|error| error.to_string())?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        ensure(status.success(), format!("{status}: {rest}"))?;
        Ok(rest)
    }
}

/// Leaves while a statx of `path` and an open of a file beside it are stuck, and says before what holds it up.
fn leave(way: Way, path: &Path, by_exec: bool) -> Outcome {
    let runtime = current_thread()?;
    let report = runtime.block_on(async {
        let handle = way.install()?;
        let path = path.to_owned();
        tokio::spawn(fs::statx(path));
        tokio::task::yield_now().await;
        println!("started");
        // The parent has seen the server get it.
        io::stdin().lock().read_line(&mut String::new())?;
        Result::<_, libtest_mimic::Failed>::Ok(handle.shutdown(LIMIT).await)
    })?;
    for stuck in &report.stuck {
        let path = stuck.path.clone().unwrap_or_default();
        println!("stuck: {} {}", stuck.operation, path.display());
    }
    println!("leaving");
    if by_exec {
        return Err(Command::new("echo").arg("executed").exec().into());
    }
    Ok(())
}

/// Works where only so many threads more can be had than there are; says what came of it.
fn few_threads(way: Way, dir: &Path, more: usize) -> Outcome {
    let group = Cgroup::new("pids")?;
    let runtime = current_thread()?;
    group.enter()?;
    let now: usize = group.get("pids.current")?.trim().parse()?;
    group.set("pids.max", &(now + more).to_string())?;
    runtime.block_on(async {
        way.install()?;
        for round in 0..4 {
            let (mut done, mut refused) = (0, 0);
            for result in everything(dir, round).await {
                match result {
                    Ok(()) => done += 1,
                    Err(error) => {
                        let clear = matches!(Error::from_io(&error), Some(Error::Thread { .. }));
                        ensure(clear, format!("{more} more threads: {error:?}"))?;
                        refused += 1;
                    }
                }
            }
            println!("{more} more threads: {done} done, {refused} refused");
        }
        // With room again, everything is done again.
        group.set("pids.max", "max")?;
        for result in everything(dir, 9).await {
            result?;
        }
        let idle = || Handle::current().is_ok_and(|handle| handle.stats().in_flight == 0);
        crate::stage::until("nothing in flight", idle).await?;
        Ok(())
    })
}

/// Each sort of operation once; those on the file only if there is one.
async fn everything(dir: &Path, round: usize) -> Vec<io::Result<()>> {
    let path = dir.join(format!("file-{round}"));
    let mut results = vec![
        limited(fs::write(&path, "content")).await,
        limited(fs::statx(&path)).await,
        limited(fs::metadata(&path)).await,
        limited(fs::read(&path)).await,
        limited(fs::read_dir(dir)).await,
    ];
    match File::create(&path).await {
        Ok(file) => {
            let written = file.write_all_at(vec![1; 4096], 0).await;
            results.push(written.map(drop).map_err(io::Error::from));
            results.push(limited(file.sync_all()).await);
            results.push(limited(file.close()).await);
        }
        Err(error) => results.push(Err(error)),
    }
    results
}

/// The children's own limit: not one of them may hang.
async fn limited<T>(op: impl Future<Output = io::Result<T>>) -> io::Result<()> {
    match tokio::time::timeout(WAIT, op).await {
        Ok(result) => match result {
            // The file that could not be made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map(drop),
        },
        Err(late) => Err(late.into()),
    }
}
