//! How a file is opened.

use std::fs::OpenOptions as StdOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::File;
use crate::driver;
use crate::op::batch::{Opens, Paths};
use crate::op::blocking;
use crate::op::file::SharedFile;
use crate::op::hop::hop;
use crate::op::open::{self, flag};
use crate::opcode::Kind;

/// How a file is opened: as in tokio, and for direct I/O and without access times.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::OpenOptions;
/// let file = OpenOptions::new().read(true).write(true).create(true).open(dir.path().join("f")).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    direct: bool,
    no_atime: bool,
    unnamed: bool,
    mode: u32,
    custom_flags: i32,
    /// Options of std that these were made of, which cannot be looked into: std opens the file.
    std: Option<StdOptions>,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl OpenOptions {
    /// Everything off; at least one of `read`, `write` and `append` must be switched on.
    ///
    /// See [`OpenOptions`].
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            direct: false,
            no_atime: false,
            unnamed: false,
            mode: 0o666,
            custom_flags: 0,
            std: None,
        }
    }

    /// Does the same with std's options, if there are some.
    fn also(&mut self, set: impl FnOnce(&mut StdOptions) -> &mut StdOptions) -> &mut OpenOptions {
        if let Some(std) = &mut self.std {
            set(std);
        }
        self
    }

    /// Opens for reading.
    ///
    /// See [`OpenOptions`].
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self.also(|std| std.read(read))
    }

    /// Opens for writing.
    ///
    /// See [`OpenOptions`].
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self.also(|std| std.write(write))
    }

    /// Opens for writing at the end; the offset of a positional write is ignored then.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::{self, OpenOptions};
    /// let path = dir.path().join("log");
    /// for line in ["one\n", "two\n"] {
    ///     let log = OpenOptions::new().append(true).create(true).open(&path).await?;
    ///     log.write_all_at(line, 0).await?;
    /// }
    /// assert_eq!(fs::read(&path).await?, b"one\ntwo\n");
    /// OpenOptions::new().write(true).truncate(true).open(&path).await?;
    /// assert!(fs::read(&path).await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self.also(|std| std.append(append))
    }

    /// Empties a file that is there.
    ///
    /// See [`OpenOptions::append`].
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self.also(|std| std.truncate(truncate))
    }

    /// Makes the file if it is not there.
    ///
    /// See [`OpenOptions`].
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self.also(|std| std.create(create))
    }

    /// Makes the file, and fails if it is there; `create` and `truncate` are ignored then.
    ///
    /// See [`OpenOptions::mode`].
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self.also(|std| std.create_new(create_new))
    }

    /// Bypasses the page cache (O_DIRECT, Linux). Address, offset and length must then be aligned as
    /// the filesystem asks, see [`crate::probe::filesystem`]; `EINVAL` if they are not.
    ///
    /// See the guide on [tuning](crate::guide::tuning).
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, vec![7; 4096]).await?;
    /// use tidegate::{buf::AlignedBuf, fs::OpenOptions};
    /// let opened = OpenOptions::new().read(true).direct(true).open(&path).await;
    /// # // Some filesystems do not have it.
    /// # let Ok(file) = opened else { return Ok(()) };
    /// let (count, _) = file.read_at(AlignedBuf::with_capacity(4096, 4096), 0).await?;
    /// assert_eq!(count, 4096);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "O_DIRECT")]
    pub fn direct(&mut self, direct: bool) -> &mut OpenOptions {
        self.direct = direct;
        self
    }

    /// Leaves the access time alone (O_NOATIME, Linux). Where the caller does not own the file, it is
    /// opened without.
    ///
    /// See [`OpenOptions::mode`].
    #[doc(alias = "O_NOATIME")]
    pub fn no_atime(&mut self, no_atime: bool) -> &mut OpenOptions {
        self.no_atime = no_atime;
        self
    }

    /// Makes a file without a name in the directory that is opened, for writing (O_TMPFILE, Linux). It is gone
    /// once it is closed, unless [`File::link`] gives it a name. Not every filesystem has it: `Unsupported`.
    ///
    /// See [`File::link`].
    #[doc(alias = "O_TMPFILE")]
    pub fn unnamed(&mut self, unnamed: bool) -> &mut OpenOptions {
        self.unnamed = unnamed;
        self
    }

    /// The permission bits of a new file, less those of the umask; `0o666` by default.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// use tidegate::fs::OpenOptions;
    /// let secret = OpenOptions::new()
    ///     .write(true)
    ///     .create_new(true)
    ///     .mode(0o600)
    ///     .no_atime(true)
    ///     .custom_flags(0)
    ///     .open(dir.path().join("secret"))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self.also(|std| std.mode(mode))
    }

    /// Further flags of `open(2)`; those that say how the file is accessed are ignored.
    ///
    /// See [`OpenOptions::mode`].
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom_flags = flags;
        self.also(|std| std.custom_flags(flags))
    }

    /// Opens the file.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed: a file that was opened after the future was dropped is closed. A file that
    /// was to be made may have been made.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`; `InvalidInput` if the options contradict each other.
    ///
    /// # Backend
    ///
    /// At the poll for reading where path and inode are in memory and the filesystem is a local one;
    /// else OPENAT (Linux 5.6); else `openat(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`OpenOptions`].
    #[doc(alias = "openat")]
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref().to_path_buf();
        if let Some(std) = &self.std {
            let std = self
                .completed(std)
                .map_err(|error| driver::tell(Kind::Open, Some(&path), error))?;
            let owned = path.clone();
            let fd = hop(Kind::Open, &path, move |_| {
                blocking::open(&std, &owned).map(OwnedFd::from)
            })
            .await?;
            return Ok(File::from(fd));
        }
        let (path, mode) = (&path, self.mode);
        self.open_by(Kind::Open, path, |flags| open::open(path, flags, mode))
            .await
    }

    /// Opens with these options in some way that takes the flags, as std's options cannot.
    pub(super) async fn open_by<F>(
        &self,
        kind: Kind,
        path: &Path,
        open: impl Fn(i32) -> F,
    ) -> io::Result<File>
    where
        F: Future<Output = io::Result<Arc<SharedFile>>>,
    {
        let named = |error| driver::tell(kind, Some(path), error);
        if self.std.is_some() {
            return Err(named(io::ErrorKind::Unsupported.into()));
        }
        let flags = self.flags().map_err(named)?;
        let optional = if self.no_atime { flag::O_NOATIME } else { 0 };
        let file = match open(flags | optional).await {
            Err(error) if optional != 0 && crate::raw_os_error(&error) == Some(open::NOT_OWNER) => {
                open(flags).await?
            }
            opened => opened?,
        };
        Ok(File::from_shared(file))
    }

    /// To open many files.
    pub(super) fn many(&self, dir: Option<Arc<SharedFile>>, paths: Paths) -> io::Result<Opens> {
        let named = |error| driver::tell(Kind::Open, None, error);
        if self.std.is_some() {
            return Err(named(io::ErrorKind::Unsupported.into()));
        }
        Ok(Opens {
            dir,
            paths,
            flags: self.flags().map_err(named)?,
            optional: if self.no_atime { flag::O_NOATIME } else { 0 },
            mode: self.mode,
        })
    }

    pub(super) fn mode_bits(&self) -> u32 {
        self.mode
    }

    /// std's options with the switches that std does not have.
    fn completed(&self, std: &StdOptions) -> io::Result<StdOptions> {
        let mut std = std.clone();
        let direct = if self.direct { flag::O_DIRECT } else { 0 };
        let no_atime = if self.no_atime { flag::O_NOATIME } else { 0 };
        let more = direct | no_atime | self.unnamed_flag()?;
        if more != 0 {
            std.custom_flags(self.custom_flags | more);
        }
        Ok(std)
    }

    fn unnamed_flag(&self) -> io::Result<i32> {
        match self.unnamed {
            true if flag::O_TMPFILE == 0 => Err(io::ErrorKind::Unsupported.into()),
            true => Ok(flag::O_TMPFILE),
            false => Ok(0),
        }
    }

    /// The flags for `open(2)`. Contradictions are those that std refuses.
    fn flags(&self) -> io::Result<i32> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => flag::O_RDONLY,
            (false, true, false) => flag::O_WRONLY,
            (true, true, false) => flag::O_RDWR,
            (false, _, true) => flag::O_WRONLY | flag::O_APPEND,
            (true, _, true) => flag::O_RDWR | flag::O_APPEND,
            (false, false, false) => {
                let text = "must specify at least one of read, write, or append access";
                return Err(open::invalid(text));
            }
        };
        let contradiction = if self.append {
            self.truncate && !self.create_new
        } else {
            !self.write && (self.truncate || self.create || self.create_new)
        };
        if contradiction {
            let text = "creating or truncating a file requires write access, and appending excludes truncating";
            return Err(open::invalid(text));
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => flag::O_CREAT | flag::O_EXCL,
            (true, true, false) => flag::O_CREAT | flag::O_TRUNC,
            (true, false, false) => flag::O_CREAT,
            (false, true, false) => flag::O_TRUNC,
            (false, false, false) => 0,
        };
        let direct = if self.direct { flag::O_DIRECT } else { 0 };
        let unnamed = self.unnamed_flag()?;
        let custom = self.custom_flags & !flag::O_ACCMODE;
        Ok(access | creation | direct | unnamed | flag::O_CLOEXEC | custom)
    }
}

impl From<StdOptions> for OpenOptions {
    /// What std's options are set to cannot be asked, so std opens the file, on a blocking thread. The
    /// switches of these options add to them; [`direct`](OpenOptions::direct) and
    /// [`no_atime`](OpenOptions::no_atime) replace std's custom flags.
    fn from(std: StdOptions) -> OpenOptions {
        OpenOptions {
            std: Some(std),
            ..OpenOptions::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of the six switches is accepted or refused as std does it.
    #[test]
    fn contradictions_are_those_of_std() {
        let dir = tempfile::tempdir().unwrap();
        for bits in 0..64u32 {
            let on = |bit: u32| bits & 1 << bit != 0;
            let path = dir.path().join(bits.to_string());
            std::fs::write(&path, b"").unwrap();
            let ours = OpenOptions {
                read: on(0),
                write: on(1),
                append: on(2),
                truncate: on(3),
                create: on(4),
                create_new: on(5),
                ..OpenOptions::new()
            };
            let mut theirs = std::fs::OpenOptions::new();
            theirs
                .read(on(0))
                .write(on(1))
                .append(on(2))
                .truncate(on(3))
                .create(on(4))
                .create_new(on(5));
            let theirs = theirs.open(&path).map(drop).map_err(|error| error.kind());
            match (ours.flags(), theirs) {
                (Err(ours), theirs) => {
                    assert_eq!(Err(ours.kind()), theirs, "{ours:?} {bits:06b}");
                    assert_eq!(ours.raw_os_error(), None, "{bits:06b}");
                }
                (Ok(_), theirs) => {
                    assert_ne!(theirs, Err(io::ErrorKind::InvalidInput), "{bits:06b}")
                }
            }
        }
    }
}
