//! Giving a path new content all at once, in blocking calls: the content is written where nobody sees it, and gets its
//! name when it is whole.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::copy_meta::{self, Preserve};
use super::copy_temp::temp_name;
use super::path::c_path;
use super::rename::{RenameMode, rename};
use super::request::{At, FdRef};
use super::steps::Steps;
use super::{unnamed, xattr, xattr_open};
use crate::base::errno::{open_without_peer, retry};
use crate::base::fork::Born;
use crate::limits::{LINKS_FOLLOWED_MAX, TEMP_NAMES_TRIED_MAX, WHOLE_FILE_STEP_BYTES};

/// How a path gets its new content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replace {
    /// Fails where the name exists.
    pub(crate) create_new: bool,
    /// Puts the file in the place of a symbolic link, and not where it leads.
    pub(crate) replaces_link: bool,
    /// The mode, exactly; where it is `None`, that of the file that is replaced, or of any new file.
    pub(crate) mode: Option<u32>,
    pub(crate) keep_owner: bool,
    pub(crate) keep_xattrs: bool,
    /// Does not wait for the device.
    pub(crate) unsynced: bool,
}

/// The new content of a path, without its name. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Draft {
    dir: Arc<File>,
    name: CString,
    /// Where it really goes, behind symbolic links.
    path: PathBuf,
    file: File,
    /// The name that it has meanwhile, where the filesystem has no files without one.
    temp: Option<CString>,
    /// What is there now.
    before: Option<Metadata>,
    how: Replace,
    device: u64,
    /// A forked child does not remove what its parent is writing.
    pub(crate) born: Born,
}

impl Draft {
    /// Makes the file, in the directory of its name.
    pub(crate) fn begin(path: &Path, how: &Replace) -> io::Result<Draft> {
        let (path, before) = look(path, how)?;
        let (parent, name) = split(&path)?;
        let dir = open_dir(parent, how)?;
        let is_new = before.is_none() && how.mode.is_none();
        let mode = if is_new { 0o666 } else { 0o600 };
        let (file, temp) = match unnamed::open(dir.as_fd(), mode)? {
            Some(file) => (file, None),
            None => named(&dir, mode).map(|(file, temp)| (file, Some(temp)))?,
        };
        let device = retry(|| file.metadata())?.dev();
        Ok(Draft {
            device,
            born: Born::here(),
            dir: Arc::new(dir),
            name,
            path,
            file,
            temp,
            before: before.filter(|before| !before.is_symlink()),
            how: how.clone(),
        })
    }

    /// One more descriptor of the file, to write through.
    pub(crate) fn descriptor(&self) -> io::Result<std::os::fd::OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Writes at an offset; returns where that ends.
    pub(crate) fn write(&self, bytes: &[u8], mut offset: u64, steps: &Steps) -> io::Result<u64> {
        for part in bytes.chunks(WHOLE_FILE_STEP_BYTES) {
            steps.check()?;
            self.file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(offset)
    }

    /// Gives the file the attributes that it is to have.
    pub(crate) fn dress(&self) -> io::Result<()> {
        let Some(before) = &self.before else {
            return match self.how.mode {
                Some(mode) => self.set_mode(mode & 0o7777),
                None => Ok(()),
            };
        };
        if self.how.keep_owner || self.how.keep_xattrs {
            self.keep(before)?;
        }
        let path = c_path(&self.path)?;
        let of_before = |name: &CStr| xattr::get(&path, name, false);
        if !self.how.keep_xattrs {
            copy_meta::without_another_list(of_before, &self.file)?;
        }
        let mode = match self.how.mode {
            Some(mode) => mode & 0o7777,
            None => {
                let beside = copy_meta::mode_beside_list(
                    copy_meta::mode_for(before, Some(&copy_meta::look_at(&self.file)?)),
                    of_before,
                    |name| xattr_open::get(&self.file, name),
                );
                beside.found?;
                beside.bits
            }
        };
        self.set_mode(mode)
    }

    /// What is asked for is kept, or the old file stays.
    fn keep(&self, before: &Metadata) -> io::Result<()> {
        let open = |more| {
            File::options()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW | more | libc::O_NOCTTY)
                .open(&self.path)
        };
        let preserve = Preserve {
            owner: self.how.keep_owner,
            times: false,
            xattrs: self.how.keep_xattrs,
        };
        // The owner alone takes no permission to read.
        let warnings = match preserve.xattrs {
            true => copy_meta::onto_file(&open_without_peer(open)?, before, &self.file, preserve),
            false => copy_meta::onto_file(&self.file, before, &self.file, preserve),
        };
        warnings
            .into_iter()
            .next()
            .map_or(Ok(()), |(_, error)| Err(error))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Begins to write to the device, where that does not wait for it.
    pub(crate) fn start_writeback(&self) {
        #[cfg(target_os = "linux")]
        {
            let start = super::range::Writeback::Start;
            // The sync that follows says how it went.
            let _ = super::range::sync_range(self.file.as_fd(), 0, 0, start);
        }
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Waits until what was written is out of the page cache. Where that cannot be asked, it is synced.
    pub(crate) fn wait_for_writeback(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            let all = super::range::Writeback::Complete;
            match super::range::sync_range(self.file.as_fd(), 0, 0, all) {
                Err(error) if crate::base::errno::tried_nothing(&error) => {}
                // Whatever is told here is told to nobody else.
                waited => return waited,
            }
        }
        self.sync()
    }

    /// Changes nothing of the file, in a way of which its filesystem's journal hears, and syncs it: so is all that the
    /// journal had heard of before. `None` if it may not be changed.
    pub(crate) fn sync_journal(&self) -> Option<io::Result<()>> {
        let metadata = retry(|| self.file.metadata()).ok()?;
        self.set_mode(metadata.mode() & 0o7777).ok()?;
        Some(self.sync())
    }

    /// The filesystem that it is on.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    /// The directory, which was opened before anything was written.
    pub(crate) fn dir(&self) -> &File {
        &self.dir
    }

    pub(crate) fn is_synced(&self) -> bool {
        !self.how.unsynced
    }

    /// Gives the file its name, and returns the directory that has to be synced for it to last.
    pub(crate) fn publish(&mut self) -> io::Result<Arc<File>> {
        match self.temp.take() {
            None => self.publish_unnamed()?,
            Some(temp) => {
                // Until the rename is done, a failure removes it.
                self.temp = Some(temp.clone());
                // Some filesystems say only at a close that they could not keep what they took.
                super::fd::close(self.file.try_clone()?)?;
                self.rename(&temp)?;
                self.temp = None;
            }
        }
        Ok(self.dir.clone())
    }

    /// A file without a name gets the one it is for, or, where that exists, another one that is renamed over it.
    fn publish_unnamed(&mut self) -> io::Result<()> {
        if self.before.is_none() || self.how.create_new {
            match unnamed::link(&self.file, self.dir.as_fd(), &self.name) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && !self.how.create_new => {}
                linked => return linked,
            }
        }
        let temp = try_names(|name| unnamed::link(&self.file, self.dir.as_fd(), name))?.0;
        self.temp = Some(temp.clone());
        self.rename(&temp)?;
        self.temp = None;
        Ok(())
    }

    fn rename(&self, temp: &CStr) -> io::Result<()> {
        let at = |path: &CStr| At {
            dir: Some(self.dir.clone() as FdRef),
            path: path.to_owned(),
        };
        let (from, to) = (at(temp), at(&self.name));
        if !self.how.create_new {
            return rename(&from, &to, RenameMode::Replace);
        }
        match rename(&from, &to, RenameMode::NoReplace) {
            // Where the filesystem has no such rename, a link fails on what exists as well.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
                ) =>
            {
                let flags = nix::fcntl::AtFlags::empty();
                let link = || nix::unistd::linkat(from.dir(), temp, to.dir(), to.path(), flags);
                retry(|| Ok(link()?))?;
                let _ = unlinkat(self.dir.as_fd(), temp, UnlinkatFlags::NoRemoveDir);
                Ok(())
            }
            renamed => renamed,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temp) = self.temp.take().filter(|_| !self.born.is_of_parent()) {
            // Nothing can be done about an error here.
            let remove = || unlinkat(&*self.dir, temp.as_c_str(), UnlinkatFlags::NoRemoveDir);
            let _ = retry(|| Ok(remove()?));
        }
    }
}

/// Waits until the names in a directory are on the device.
pub(crate) fn sync_dir(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        // Some filesystems have nothing to sync there.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        synced => synced,
    }
}

/// The directory of a path, for its sync.
pub(crate) fn open_parent(path: &Path) -> io::Result<File> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    open_dir(parent, &Replace::default())
}

/// Tells directories apart.
pub(crate) fn identity(dir: &File) -> io::Result<(u64, u64)> {
    let metadata = retry(|| dir.metadata())?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Where the file goes, and what is there.
fn look(path: &Path, how: &Replace) -> io::Result<(PathBuf, Option<Metadata>)> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_FOLLOWED_MAX {
        if path.as_os_str().is_empty() {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let before = match retry(|| std::fs::symlink_metadata(&path)) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((path, None)),
            Err(error) => return Err(error),
        };
        if how.create_new {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        if before.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        if before.is_symlink() && !how.replaces_link {
            // The kernel may forbid to follow it, as one of somebody else in a folder that everybody may write to.
            match retry(|| std::fs::metadata(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let leads_to = retry(|| std::fs::read_link(&path))?;
            path = path.parent().unwrap_or(Path::new("")).join(leads_to);
            continue;
        }
        if !before.is_file() && !before.is_symlink() {
            let text = "only a regular file can be replaced";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        return Ok((path, Some(before)));
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn split(path: &Path) -> io::Result<(&Path, CString)> {
    let is_dir = path.as_os_str().as_bytes().ends_with(b"/");
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !is_dir => Ok((parent, c_path(Path::new(name))?)),
        _ => Err(io::Error::from_raw_os_error(libc::EISDIR)),
    }
}

fn open_dir(parent: &Path, how: &Replace) -> io::Result<File> {
    let parent = match parent.as_os_str().is_empty() {
        true => Path::new("."),
        false => parent,
    };
    let open = |flags| {
        File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | flags)
            .open(parent)
    };
    match retry(|| open(0)) {
        #[cfg(target_os = "linux")]
        // Names can be made where none can be listed; a sync takes the right to read.
        Err(error) if how.unsynced && error.kind() == io::ErrorKind::PermissionDenied => {
            retry(|| open(libc::O_PATH))
        }
        opened => {
            let _ = how;
            opened
        }
    }
}

fn named(dir: &File, mode: u32) -> io::Result<(File, CString)> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(mode as libc::mode_t);
    let (name, fd) = try_names(|name| retry(|| Ok(openat(dir, name, flags, mode)?)))?;
    Ok((fd.into(), name))
}

/// Tries made-up names until one is free.
fn try_names<T>(mut make: impl FnMut(&CStr) -> io::Result<T>) -> io::Result<(CString, T)> {
    let mut tries = 0;
    loop {
        let name = CString::new(temp_name(OsStr::new("")))?;
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && tries < TEMP_NAMES_TRIED_MAX =>
            {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fork;

    /// What has a name meanwhile goes with whoever writes it, and not with a forked child that has it, too.
    #[test]
    fn a_child_leaves_its_parents_temporary() {
        fork::watch();
        let dir = tempfile::tempdir().unwrap();
        let how = Replace::default();
        let mut draft = Draft::begin(&dir.path().join("file"), &how).unwrap();
        // As on a filesystem that has no files without names.
        let (file, temp) = named(&draft.dir, 0o600).unwrap();
        (draft.file, draft.temp) = (file, Some(temp));
        let count = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut draft = Some(draft);
        let code = crate::base::fork::tests::forked(|| {
            drop(draft.take());
            i32::from(count() != 1)
        });
        assert_eq!((code, count()), (0, 1));
        drop(draft);
        assert_eq!(count(), 0);
    }
}
