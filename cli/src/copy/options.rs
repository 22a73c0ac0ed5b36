//! What is copied, and how, where it is not all of it in the usual way.

use std::path::Path;

use clap::{Args, ValueEnum};
use glob::{MatchOptions, Pattern};

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// What a crash of the machine may take of a copy that was reported.
    #[arg(long, value_enum, default_value_t = Durability::None)]
    pub(super) durability: Durability,
    /// Whether blocks are shared with the source, where the filesystem can do that.
    #[arg(long, value_enum, default_value_t = When::Auto)]
    pub(super) reflink: When,
    /// Whether holes are made: where the source has them (auto), of all zeros (always), or none.
    #[arg(long, value_enum, default_value_t = When::Auto)]
    pub(super) sparse: When,
    /// Whether extended attributes are carried over. One that the target cannot hold is a warning, and with
    /// `always` an error.
    #[arg(long, value_enum, default_value_t = When::Auto)]
    pub(super) xattrs: When,
    /// Leaves alone what exists and is not older than its source.
    #[arg(short, long)]
    pub(super) update: bool,
    /// Leaves alone what exists.
    #[arg(short, long)]
    pub(super) no_clobber: bool,
    /// Goes on where a copy was killed: what is there is compared with its source, and only what differs is copied.
    ///
    /// A file that is whole is left alone. Of one that was in work its temporary file is compared, and what of it is
    /// right is not written again. Temporary files that have no use any more are removed.
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) resume: bool,
    /// Changes nothing; prints what would be copied, a path in each line.
    #[arg(long, conflicts_with = "verify")]
    pub(super) dry_run: bool,
    /// Leaves out what matches, with all that is in it; may be given several times.
    ///
    /// A pattern has *, ?, [abc] and **. Without a slash it is for names, with one for paths below SRC.
    #[arg(long, value_name = "PATTERN", value_parser = Exclusion::parse)]
    pub(super) exclude: Vec<Exclusion>,
    /// Stays on the filesystem of SRC: what is mounted below it stays an empty directory.
    #[arg(short = 'x', long)]
    pub(super) one_file_system: bool,
    /// Leaves no more in the page cache than was there: what was copied is written out and dropped from it.
    #[arg(long)]
    pub(super) no_cache: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Durability {
    /// The system writes it when it likes.
    None,
    /// A file has its name only when the disk has its content.
    Data,
    /// The disk has all of it, names and directories too, before the summary is printed.
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// Where it can be.
    Auto,
    /// Else it is an error.
    Always,
    /// Not at all.
    Never,
}

/// A pattern of names or paths that are left out.
#[derive(Clone, Debug)]
pub(super) struct Exclusion {
    pattern: Pattern,
    of_paths: bool,
}

impl Exclusion {
    fn parse(text: &str) -> Result<Exclusion, String> {
        if text.trim_matches('/').is_empty() {
            return Err("it would leave out everything, or nothing".into());
        }
        let of_paths = text.trim_end_matches('/').contains('/');
        let pattern = Pattern::new(text.trim_matches('/')).map_err(|error| error.msg.to_owned())?;
        Ok(Exclusion { pattern, of_paths })
    }

    /// Whether it is about what has this path below SRC.
    pub(super) fn matches(&self, below: &Path) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let name = match below.file_name() {
            _ if self.of_paths => below.as_os_str(),
            Some(name) => name,
            // The root itself.
            None => return false,
        };
        self.pattern.matches_with(&name.to_string_lossy(), options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a slash it is the name, with one the path.
    #[test]
    fn patterns_are_of_names_or_of_paths() {
        let cases: [(&str, &str, bool); 12] = [
            ("*.o", "a.o", true),
            ("*.o", "deep/er/a.o", true),
            ("*.o", "a.c", false),
            ("target/", "deep/target", true),
            ("/target/x", "target/x", true),
            ("/target/x", "deep/target/x", false),
            ("deep/*", "deep/a", true),
            ("deep/*", "deep/er/a", false),
            ("deep/**/a", "deep/er/est/a", true),
            ("[ab]?", "b1", true),
            (".git", ".git", true),
            ("*", ".hidden", true),
        ];
        for (pattern, path, expected) in cases {
            let exclusion = Exclusion::parse(pattern).unwrap();
            assert_eq!(
                exclusion.matches(Path::new(path)),
                expected,
                "{pattern} {path}"
            );
        }
        for pattern in ["", "/", "[", "a***"] {
            assert!(Exclusion::parse(pattern).is_err(), "{pattern}");
        }
    }
}
