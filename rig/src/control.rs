//! The control socket: one connection, one line, one answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Context, invalid};
use crate::gate::{Action, Gate, Request};

/// What a server has seen and keeps waiting, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Requests that wait now.
    pub held: u64,
    /// Rules in force.
    pub rules: u64,
    /// Rules that ended by themselves because they were older than the longest hold.
    pub expired: u64,
    /// Requests that ended because the kernel asked for it; see [`StalledFuseOptions::with_interrupts`](crate::StalledFuseOptions::with_interrupts).
    pub interrupted: u64,
    seen: Vec<(String, u64)>,
}

impl Status {
    /// How many requests of this kind have arrived since the start, held or not.
    pub fn seen(&self, request: Request) -> u64 {
        self.seen
            .iter()
            .find(|(name, _)| *name == request.name())
            .map_or(0, |(_, count)| *count)
    }

    fn parse(line: &str) -> Status {
        let mut status = Status::default();
        for (name, value) in line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
        {
            let value = value.parse().unwrap_or(0);
            match name {
                "held" => status.held = value,
                "rules" => status.rules = value,
                "expired" => status.expired = value,
                "interrupted" => status.interrupted = value,
                _ => status.seen.push((name.to_owned(), value)),
            }
        }
        status
    }
}

/// The test's side: how a server is told what to do.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    socket: PathBuf,
}

impl Control {
    pub(crate) fn new(socket: PathBuf) -> Control {
        Control { socket }
    }

    fn call(&self, command: &str) -> io::Result<String> {
        let word = command.split(' ').next().unwrap_or_default();
        let mut stream = UnixStream::connect(&self.socket)
            .context(format_args!("{word}: the server is gone"))?;
        writeln!(stream, "{command}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).context(word)?;
        match line.trim_end_matches('\n').split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            Some(("late", _)) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{word}: {}", line.trim_end()),
            )),
            _ => Err(invalid(format_args!(
                "{command}: the server answered {line:?}"
            ))),
        }
    }

    pub(crate) fn rule(
        &self,
        action: Action,
        requests: &[Request],
        prefix: &str,
    ) -> io::Result<HoldGuard> {
        if requests.is_empty() || prefix.contains('\n') {
            return Err(invalid(
                "a rule needs at least one kind of request, and a path of one line",
            ));
        }
        let requests = requests
            .iter()
            .map(|request| request.name())
            .collect::<Vec<_>>()
            .join(",");
        let action = match action {
            Action::Delay(delay) => format!("delay {}", delay.as_millis()),
            Action::Fail(errno) => format!("fail {errno}"),
            Action::Hold => "hold 0".to_owned(),
        };
        let id = self.call(&format!("{action} {requests} {prefix}"))?;
        let id = id
            .parse()
            .map_err(|_| invalid(format_args!("rule number {id:?}")))?;
        Ok(HoldGuard {
            control: self.clone(),
            id,
        })
    }

    pub(crate) fn release(&self) -> io::Result<()> {
        self.call("release").map(drop)
    }

    pub(crate) fn close(&self) -> io::Result<()> {
        self.call("close").map(drop)
    }

    pub(crate) fn status(&self) -> io::Result<Status> {
        self.call("status").map(|line| Status::parse(&line))
    }

    pub(crate) fn wait_held(&self, count: usize, timeout: Duration) -> io::Result<()> {
        self.call(&format!("wait-held {count} {}", timeout.as_millis()))
            .map(drop)
    }
}

/// A rule in force. Dropping it ends the rule and answers what it held.
#[derive(Debug)]
#[must_use = "dropping it releases at once"]
pub struct HoldGuard {
    control: Control,
    id: u64,
}

impl HoldGuard {
    /// Ends the rule, and says when that was not possible.
    ///
    /// # Errors
    /// When the server is gone; what it held has then failed with an I/O error.
    pub fn release(self) -> io::Result<()> {
        self.control.call(&format!("release {}", self.id)).map(drop)
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        let _ = self.control.call(&format!("release {}", self.id));
    }
}

/// The server's side: a thread for each connection, since `wait-held` waits.
pub(crate) fn serve_control(listener: &UnixListener, gate: &Arc<Gate>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let gate = Arc::clone(gate);
        let answer = move || {
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            let answer = obey(line.trim_end_matches('\n'), &gate);
            let _ = writeln!(&stream, "{}", answer.unwrap_or_else(|| "err ".to_owned()));
        };
        // Without a thread the connection closes, which the test sees as an error.
        let _ = std::thread::Builder::new()
            .name("command".into())
            .spawn(answer);
    }
}

fn obey(line: &str, gate: &Gate) -> Option<String> {
    let mut words = line.splitn(4, ' ');
    let (word, first, second, rest) = (words.next()?, words.next(), words.next(), words.next());
    let number = first.map(str::parse::<u64>).transpose().ok()?;
    match word {
        "hold" | "delay" | "fail" => {
            let action = match word {
                "delay" => Action::Delay(Duration::from_millis(number?)),
                "fail" => Action::Fail(i32::try_from(number?).ok()?),
                _ => Action::Hold,
            };
            let requests = second?
                .split(',')
                .map(Request::parse)
                .collect::<Option<Vec<_>>>()?;
            let id = gate.add(action, requests, rest?.to_owned())?;
            Some(format!("ok {id}"))
        }
        "release" => {
            gate.release(number);
            Some("ok ".to_owned())
        }
        "close" => {
            gate.close();
            Some("ok ".to_owned())
        }
        "status" => Some(format!("ok {}", gate.status())),
        "wait-held" => {
            let timeout = Duration::from_millis(second?.parse().ok()?);
            let held = gate.wait_held(usize::try_from(number?).ok()?, timeout);
            Some(if held {
                "ok ".to_owned()
            } else {
                format!("late {}", gate.status())
            })
        }
        _ => None,
    }
}

/// Whether a path fits into a socket address.
pub(crate) fn check_socket_path(path: &Path) -> io::Result<()> {
    if path.as_os_str().len() > 100 {
        return Err(invalid(format_args!(
            "{}: too long for a socket; set TMPDIR to a shorter path",
            path.display()
        )));
    }
    Ok(())
}
