//! `tidegate doctor --mounts`: every mount of the machine, and whether it answers.
//!
//! The mounts are asked by a process of its own. The kernel does not let a process end while one of its
//! threads waits for a server that has taken the question, so that one is left behind, and goes when the
//! mount answers.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::probe::{self, MountAnswer, MountReport};
use tidegate::{Handle, MountStats};

use crate::exit::{Exit, fatal};
use crate::say;

/// How much longer than the mounts the asking process may take, to begin and for machines with thousands.
const SPARE: Duration = Duration::from_secs(10);

pub(super) fn main(bound: Duration, json: bool) -> Exit {
    let mut mounts = match asked_elsewhere(bound) {
        Ok(mounts) => mounts,
        Err(error) => return fatal(&format!("cannot ask the mounts: {error}")),
    };
    // Without a handle nothing is known of any breaker; the plain `doctor` tells why there is none.
    let seen = Handle::current().map_or_else(|_| Vec::new(), |handle| handle.mounts());
    mounts.iter_mut().for_each(|mount| mount.look_up(&seen));
    if json {
        // Strings, numbers and lists: there is nothing that cannot be written.
        let json = serde_json::to_string_pretty(&Mounts { mounts: &mounts }).unwrap_or_default();
        say::out(&format!("{json}\n"));
    } else {
        say::out(&text(&mounts));
    }
    let troubles: Vec<_> = mounts.iter().filter_map(Mount::trouble).collect();
    for trouble in &troubles {
        say::err(&format!("tidegate: {trouble}"));
    }
    if troubles.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    }
}

/// Has another process ask, and leaves it as soon as it has said what it heard.
fn asked_elsewhere(bound: Duration) -> io::Result<Vec<Mount>> {
    let mut asking = Command::new(std::env::current_exe()?)
        .args(["doctor", "--mounts", "--ask", "--timeout"])
        .arg(format!("{}ms", bound.as_millis().max(1)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // It may outlive this process, and must not keep anything of it open.
        .stderr(Stdio::null())
        .spawn()?;
    let said = asking.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (tell, hear) = sync_channel(1);
    std::thread::Builder::new().spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(said).read_line(&mut line);
        // Nobody listens any more if it took too long.
        let _ = tell.try_send(read.map(|_| line));
    })?;
    let line = hear
        .recv_timeout(bound.saturating_mul(2).saturating_add(SPARE))
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let heard: Heard = serde_json::from_str(&line)?;
    heard.map_err(io::Error::other)
}

/// What the asking process says: the mounts, or why there are none.
type Heard = Result<Vec<Mount>, String>;

/// Asks, and says what it heard in one line. May take long to end after that.
pub(super) fn ask(bound: Duration) -> Exit {
    let heard: Heard = probe::mounts(bound)
        .map(|reports| reports.into_iter().map(Mount::of).collect())
        .map_err(|error| format!("the table of mounts: {error}; is /proc mounted?"));
    let mut line = serde_json::to_vec(&heard).unwrap_or_default();
    line.push(b'\n');
    // Without a listener there is nobody to tell.
    match io::stdout().write_all(&line) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Fatal,
    }
}

#[derive(Debug, Serialize)]
struct Mounts<'a> {
    mounts: &'a [Mount],
}

#[derive(Debug, Deserialize, Serialize)]
struct Mount {
    point: String,
    fs_type: String,
    source: String,
    options: String,
    /// Whether polls may answer from memory on it.
    local: bool,
    answer: Answer,
    /// Whether this process's handle uses it; `null` where it never did.
    breaker: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Answer {
    Answered { took_ms: f64 },
    Denied { error: String },
    Failed { error: String, errno: Option<i32> },
    NotAsked { error: String },
    Silent { waited_ms: f64 },
}

impl Mount {
    fn of(report: MountReport) -> Mount {
        Mount {
            point: report.point.to_string_lossy().into_owned(),
            fs_type: report.fs_type,
            source: report.source.to_string_lossy().into_owned(),
            options: report.options,
            local: report.is_local,
            answer: Answer::of(&report.answer),
            breaker: None,
        }
    }

    /// Takes over what this process's handle has seen of it.
    fn look_up(&mut self, seen: &[MountStats]) {
        let is_this = |stats: &&MountStats| {
            let point = stats.point.as_ref();
            point.is_some_and(|point| point.to_string_lossy() == self.point)
        };
        let found = seen.iter().find(is_this);
        self.breaker = found.map(|stats| stats.state.to_string());
    }

    /// What keeps it from being used.
    fn trouble(&self) -> Option<String> {
        let Mount { point, fs_type, .. } = self;
        match &self.answer {
            Answer::Answered { .. } | Answer::Denied { .. } => None,
            Answer::Failed { error, .. } => Some(format!("{point} ({fs_type}): {error}")),
            Answer::NotAsked { error } => {
                Some(format!("{point} ({fs_type}) was not asked: {error}"))
            }
            Answer::Silent { waited_ms } => Some(format!(
                "{point} ({fs_type}) does not answer within {waited_ms:.0} ms; look after its server, or unmount it with umount -l"
            )),
        }
    }
}

impl Answer {
    fn of(answer: &MountAnswer) -> Answer {
        match answer {
            MountAnswer::Answered(took) => Answer::Answered { took_ms: ms(*took) },
            // The mount answers; it is only not for this user.
            MountAnswer::Failed(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let error = error.to_string();
                Answer::Denied { error }
            }
            MountAnswer::Failed(error) => Answer::Failed {
                error: error.to_string(),
                errno: error.raw_os_error(),
            },
            MountAnswer::Silent(waited) => Answer::Silent {
                waited_ms: ms(*waited),
            },
            MountAnswer::NotAsked(error) => Answer::NotAsked {
                error: error.to_string(),
            },
            other => Answer::NotAsked {
                error: format!("{other:?}"),
            },
        }
    }

    fn words(&self) -> String {
        match self {
            Answer::Answered { took_ms } => format!("in {took_ms:.2} ms"),
            Answer::Denied { .. } => "permission denied".into(),
            Answer::Failed { error, .. } => error.clone(),
            Answer::NotAsked { .. } => "not asked".into(),
            Answer::Silent { waited_ms } => format!("NONE within {waited_ms:.0} ms"),
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn text(mounts: &[Mount]) -> String {
    let lengths =
        |column: fn(&Mount) -> &str| mounts.iter().map(move |m| column(m).chars().count());
    let widest = |column, least| lengths(column).chain([least]).max().unwrap_or(least) + 2;
    let (points, types) = (widest(|m| &m.point, 5), widest(|m| &m.fs_type, 4));
    // Writing to a string does not fail.
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<points$}{:<types$}{:<7}{:<11}answer",
        "mount", "type", "local", "breaker"
    );
    for mount in mounts {
        let Mount { point, fs_type, .. } = mount;
        let local = if mount.local { "yes" } else { "no" };
        let breaker = mount.breaker.as_deref().unwrap_or("-");
        let answer = mount.answer.words();
        let _ = writeln!(
            text,
            "{point:<points$}{fs_type:<types$}{local:<7}{breaker:<11}{answer}"
        );
    }
    text
}
