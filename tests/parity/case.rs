//! A case: one operation with one input, done by this crate and by std on equal trees.

use std::fmt::Debug;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use tidegate::fs::{File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{Errors, Handle};

use crate::tree::{self, Place};

/// What came of it, in words that both sides use.
pub(crate) type Seen = io::Result<String>;

type Doing = Pin<Box<dyn Future<Output = Seen> + Send>>;

/// One operation with one input.
pub(crate) struct Case {
    pub(crate) label: String,
    /// The operations that an error may name.
    steps: &'static [Kind],
    /// The paths of which an error must name one.
    paths: Vec<PathBuf>,
    ours: Box<dyn Fn() -> Doing>,
    theirs: Box<dyn Fn() -> Seen>,
}

/// Success without a result.
pub(crate) fn done(result: io::Result<()>) -> Seen {
    result.map(|()| "done".into())
}

/// Success with bytes.
pub(crate) fn bytes(result: io::Result<impl AsRef<[u8]>>) -> Seen {
    result.map(|bytes| String::from_utf8_lossy(bytes.as_ref()).into_owned())
}

/// An operation on each path.
pub(crate) fn on_paths<F>(
    paths: Vec<(&'static str, PathBuf)>,
    steps: &'static [Kind],
    ours: impl Fn(PathBuf) -> F + Clone + 'static,
    theirs: impl Fn(&Path) -> Seen + Clone + 'static,
) -> Vec<Case>
where
    F: Future<Output = Seen> + Send + 'static,
{
    let case = |(label, path): (&str, PathBuf)| {
        let (ours, theirs) = (ours.clone(), theirs.clone());
        let (for_ours, for_theirs) = (path.clone(), path.clone());
        Case {
            label: format!("{label:?}"),
            steps,
            paths: vec![path],
            ours: Box::new(move || Box::pin(ours(for_ours.clone()))),
            theirs: Box::new(move || theirs(&for_theirs)),
        }
    };
    paths.into_iter().map(case).collect()
}

/// One case: an operation that an error may name, with paths of which an error must name one.
pub(crate) fn one<F>(
    label: String,
    steps: &'static [Kind],
    paths: Vec<PathBuf>,
    ours: impl Fn() -> F + 'static,
    theirs: impl Fn() -> Seen + 'static,
) -> Case
where
    F: Future<Output = Seen> + Send + 'static,
{
    Case {
        label,
        steps,
        paths,
        ours: Box::new(move || Box::pin(ours())),
        theirs: Box::new(theirs),
    }
}

/// An operation on each pair of paths.
pub(crate) fn on_pairs<F>(
    place: &Place,
    steps: &'static [Kind],
    ours: fn(PathBuf, PathBuf) -> F,
    theirs: fn(&Path, &Path) -> io::Result<()>,
) -> Vec<Case>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut cases = Vec::new();
    for (from_label, from) in place.few() {
        for (to_label, to) in place.few() {
            let (a, b, c, d) = (from.clone(), to.clone(), from.clone(), to.clone());
            cases.push(Case {
                label: format!("{from_label:?} to {to_label:?}"),
                steps,
                paths: vec![from.clone(), to],
                ours: Box::new(move || {
                    let doing = ours(a.clone(), b.clone());
                    Box::pin(async move { done(doing.await) })
                }),
                theirs: Box::new(move || done(theirs(&c, &d))),
            });
        }
    }
    cases
}

/// How a file is opened before an operation on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum As {
    Appending,
    Directory,
    Nothing,
    Reading,
    Updating,
    Writing,
}

impl As {
    const ALL: [As; 6] = [
        As::Appending,
        As::Directory,
        As::Nothing,
        As::Reading,
        As::Updating,
        As::Writing,
    ];

    fn name(self) -> &'static str {
        match self {
            As::Directory => "full",
            _ => "file",
        }
    }

    fn ours(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options
            .read(matches!(
                self,
                As::Reading | As::Updating | As::Directory | As::Nothing
            ))
            .write(matches!(self, As::Writing | As::Updating))
            .append(self == As::Appending)
            .custom_flags(if self == As::Nothing { libc::O_PATH } else { 0 });
        options
    }

    fn theirs(self) -> std::fs::OpenOptions {
        let mut options = std::fs::OpenOptions::new();
        options
            .read(matches!(
                self,
                As::Reading | As::Updating | As::Directory | As::Nothing
            ))
            .write(matches!(self, As::Writing | As::Updating))
            .append(self == As::Appending)
            .custom_flags(if self == As::Nothing { libc::O_PATH } else { 0 });
        options
    }
}

/// An operation on an open file, opened in each way, with each argument.
pub(crate) fn on_files<A, F>(
    place: &Place,
    steps: &'static [Kind],
    arguments: &[A],
    ours: fn(File, A) -> F,
    theirs: fn(std::fs::File, A) -> Seen,
) -> Vec<Case>
where
    A: Copy + Debug + Send + 'static,
    F: Future<Output = Seen> + Send + 'static,
{
    let mut cases = Vec::new();
    for how in As::ALL {
        for &argument in arguments {
            let path = place.access.join(how.name());
            let same = path.clone();
            cases.push(Case {
                label: format!("{argument:?}, opened for {how:?}"),
                steps,
                paths: Vec::new(),
                ours: Box::new(move || {
                    let path = path.clone();
                    Box::pin(async move {
                        let Ok(file) = how.ours().open(&path).await else {
                            return Ok("not opened".into());
                        };
                        ours(file, argument).await
                    })
                }),
                theirs: Box::new(move || match how.theirs().open(&same) {
                    Ok(file) => theirs(file, argument),
                    Err(_) => Ok("not opened".into()),
                }),
            });
        }
    }
    cases
}

/// What a side did: its answer, and the tree it left.
#[derive(Debug, PartialEq)]
pub(crate) struct Trace {
    answer: Result<String, (io::ErrorKind, Option<i32>)>,
    tree: Vec<String>,
}

impl Trace {
    /// Makes the tree anew for the next case, unless this one left it as it was made.
    fn renew(&self, place: &Place, fresh: &[String]) {
        if self.tree != fresh {
            tree::build(&place.build);
        }
    }

    /// Whether both did the same. For options that contradict each other, releases of std differ in
    /// whether there is an errno.
    fn equals(&self, theirs: &Trace) -> bool {
        const REFUSED: (io::ErrorKind, Option<i32>) = (io::ErrorKind::InvalidInput, None);
        let same_answer = match (&self.answer, &theirs.answer) {
            (Err(REFUSED), Err((io::ErrorKind::InvalidInput, Some(libc::EINVAL)))) => true,
            (ours, theirs) => ours == theirs,
        };
        same_answer && self.tree == theirs.tree
    }
}

fn trace(seen: &Seen, place: &Place) -> Trace {
    let answer = match seen {
        Ok(text) => Ok(text.clone()),
        Err(error) => Err((error.kind(), tidegate::raw_os_error(error))),
    };
    Trace {
        answer,
        tree: tree::look(&place.build),
    }
}

impl Case {
    /// Whether both paths lead to the same file in the tree as it was made.
    pub(crate) fn is_onto_itself(&self) -> bool {
        let mut real = self.paths.iter().map(std::fs::canonicalize);
        match (real.next(), real.next()) {
            (Some(Ok(one)), Some(Ok(other))) => one == other,
            _ => false,
        }
    }

    /// What std does.
    pub(crate) fn theirs(&self, place: &Place, fresh: &[String]) -> Trace {
        let theirs = trace(&(self.theirs)(), place);
        theirs.renew(place, fresh);
        theirs
    }

    /// What this crate does, and what is wrong with it.
    pub(crate) async fn differs(
        &self,
        place: &Place,
        fresh: &[String],
        theirs: &Trace,
    ) -> Option<String> {
        let seen = (self.ours)().await;
        let ours = trace(&seen, place);
        ours.renew(place, fresh);
        if !ours.equals(theirs) {
            return Some(difference(&ours, theirs, &seen));
        }
        let error = seen.as_ref().err()?;
        match Handle::current().unwrap().settings().errors {
            Errors::Named => self.misnamed(error),
            _ => is_dressed(error),
        }
    }

    /// What the text of an error leaves out.
    fn misnamed(&self, error: &io::Error) -> Option<String> {
        let text = error.to_string();
        let named = |kind: &Kind| {
            let rest = text.strip_prefix(kind.name());
            rest.is_some_and(|rest| rest.starts_with([' ', ':']))
        };
        if !self.steps.iter().any(named) {
            return Some(format!("{text:?} does not begin with the operation"));
        }
        let mut paths = self.paths.iter().map(|path| path.display().to_string());
        if !self.paths.is_empty() && !paths.any(|path| text.contains(&path)) {
            return Some(format!("{text:?} does not name the path"));
        }
        if tidegate::Error::from_io(error).is_none() {
            return Some(format!("{text:?} carries no error of this crate"));
        }
        None
    }
}

/// What a plain error has that std's has not.
fn is_dressed(error: &io::Error) -> Option<String> {
    if error.raw_os_error() != tidegate::raw_os_error(error) {
        return Some(format!("{error:?} hides its number"));
    }
    let carried = tidegate::Error::from_io(error)?;
    Some(format!("a plain error carries {carried:?}"))
}

fn difference(ours: &Trace, theirs: &Trace, seen: &Seen) -> String {
    let seen = match seen {
        Ok(text) => format!("{text:?}"),
        Err(error) => {
            let text = error.to_string();
            let end = text.rfind(": ").unwrap_or(0);
            format!("{:?} {}", error.kind(), &text[end..])
        }
    };
    let mut text = format!("{seen}, and std gives {:?}", theirs.answer);
    for line in &ours.tree {
        if !theirs.tree.contains(line) {
            text += &format!("\n      ours leaves {line}");
        }
    }
    for line in &theirs.tree {
        if !ours.tree.contains(line) {
            text += &format!("\n      std leaves  {line}");
        }
    }
    text
}
