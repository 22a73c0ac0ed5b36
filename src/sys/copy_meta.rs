//! Carrying owner, extended attributes, mode and times from one file to another, in blocking calls.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::ffi::{CStr, CString, OsString};
use std::fs::{File, FileTimes, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, utimensat};
use nix::sys::time::TimeSpec;

use super::path::c_path;
use super::stat::Stat;
use super::{xattr, xattr_open};
use crate::base::errno::{open_without_peer, retry};

/// Metadata that a copy carries over besides the mode.
///
/// See [`CopyFile`](crate::fs::CopyFile).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preserve {
    /// Owner and group; takes root, as a rule.
    pub owner: bool,
    /// Access and modification time, to the nanosecond.
    pub times: bool,
    /// Extended attributes, access control lists among them.
    pub xattrs: bool,
}

/// Metadata that could not be carried over: the operation, and its error.
pub type Warning = (&'static str, io::Error);

const SET_OWNER: &str = "set_owner";
const SET_PERMISSIONS: &str = "set_permissions";
const SET_TIMES: &str = "set_times";
const SET_XATTR: &str = "set_xattr";
pub(super) const GET_XATTR: &str = "get_xattr";
const LIST_XATTRS: &str = "list_xattrs";
const REMOVE_XATTR: &str = "remove_xattr";

const ACL_ACCESS: &CStr = c"system.posix_acl_access";
const CAPABILITY: &CStr = c"security.capability";
const ACL_DEFAULT: &CStr = c"system.posix_acl_default";

/// The mode that goes to a copy with these attributes. What lets others act as its owner or its group goes only with
/// them: a set-user-id file of a user's must not become one of root's.
pub(crate) fn mode_for(before: &Metadata, target: Option<&Stat>) -> u32 {
    let mode = before.mode() & 0o7777;
    if target.is_some_and(|target| has_owner_of(before, target)) {
        mode
    } else {
        mode & 0o1777
    }
}

/// The same less what an access list gives to others than the owning group, unless that list went over: where there is one,
/// the mode's bits of the group are the most that anybody in it gets. Where nobody says whether there is one, the group
/// gets nothing.
pub(crate) fn mode_beside_list(
    mode: u32,
    source: impl Fn(&CStr) -> io::Result<Vec<u8>>,
    target: impl Fn(&CStr) -> io::Result<Vec<u8>>,
) -> BesideList {
    let with = |bits, found| BesideList { bits, found };
    if cfg!(not(target_os = "linux")) || mode & 0o070 == 0 {
        return with(mode, Ok(()));
    }
    let list = match source(ACL_ACCESS).map(|list| (group_rights(&list), list)) {
        Ok((Some(rights), list)) => (mode & (!0o070 | rights << 3), list),
        Ok((None, _)) => return with(mode, Ok(())),
        Err(error) if is_none(&error) => return with(mode, Ok(())),
        Err(error) => return with(mode & !0o070, Err(error)),
    };
    let (narrowed, list) = list;
    match target(ACL_ACCESS) {
        Ok(target) if gives_the_same(&target, &list) => with(mode, Ok(())),
        Err(error) if !is_none(&error) => with(narrowed, Err(error)),
        _ => with(narrowed, Ok(())),
    }
}

/// The bits of a mode beside an access list, and whether it could be found out.
pub(crate) struct BesideList {
    pub(crate) bits: u32,
    pub(crate) found: io::Result<()>,
}

/// Whether a failed look at an attribute says that there is none.
fn is_none(error: &io::Error) -> bool {
    xattr::is_absent(error) || xattr::are_never(error)
}

/// A new file has the access list that its folder has for new ones. What takes the place of another file has it only if
/// that one's gave the same, so that nobody gets more.
pub(crate) fn without_another_list(
    source: impl Fn(&CStr) -> io::Result<Vec<u8>>,
    target: &File,
) -> io::Result<()> {
    let list = match xattr_open::get(target, ACL_ACCESS) {
        Err(error) if is_none(&error) => return Ok(()),
        list => list?,
    };
    match source(ACL_ACCESS) {
        Ok(source) if gives_the_same(&source, &list) => Ok(()),
        _ => xattr_open::remove(target, ACL_ACCESS),
    }
}

/// Whether two access lists differ in nothing but what a mode sets: the rights of the owner and of others, and the most
/// that anybody else gets.
fn gives_the_same(one: &[u8], other: &[u8]) -> bool {
    const OF_THE_MODE: [u16; 3] = [0x01, 0x10, 0x20];
    let entries = |list: &[u8]| {
        let entries = list.get(4..).unwrap_or_default().chunks_exact(8);
        let named = entries
            .filter(|entry| !OF_THE_MODE.contains(&u16::from_le_bytes([entry[0], entry[1]])));
        named.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    entries(one) == entries(other)
}

/// What an access list gives to the owning group.
fn group_rights(list: &[u8]) -> Option<u32> {
    const HEAD_BYTES: usize = 4;
    const ENTRY_BYTES: usize = 8;
    const GROUP: u16 = 0x04;
    let entries = list.get(HEAD_BYTES..)?.chunks_exact(ENTRY_BYTES);
    let mut entries = entries.map(|entry| {
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        (number(0), number(2))
    });
    let (_, rights) = entries.find(|(tag, _)| *tag == GROUP)?;
    Some(u32::from(rights) & 0o7)
}

fn has_owner_of(before: &Metadata, target: &Stat) -> bool {
    (target.uid, target.gid) == (before.uid(), before.gid())
}

/// What an open file is that is written to, without its times: to ask for those has a cost at each change of it.
pub(super) fn look_at(to: &File) -> io::Result<Stat> {
    #[cfg(target_os = "linux")]
    {
        use super::linux::{calls::Call, statx};
        match statx::without_times(std::os::fd::AsFd::as_fd(to)) {
            Err(error) if Call::Statx.is_refused_with(&error) => {}
            looked => return looked,
        }
    }
    retry(|| to.metadata()).map(Stat::from)
}

/// An open file or directory that gets the metadata of another.
pub(crate) struct Onto<'a> {
    to: &'a File,
    /// What it is by now, but for its mode.
    pub(crate) target: Stat,
    pub(crate) warnings: Vec<Warning>,
    /// Whether it was made where it can have no attributes yet.
    pub(super) is_bare: bool,
    /// Whether neither side was found to have an attribute that goes with the mode.
    pub(super) has_no_lists: bool,
}

impl Onto<'_> {
    pub(crate) fn new(to: &File, target: Stat) -> Onto<'_> {
        Onto {
            to,
            target,
            warnings: Vec::new(),
            is_bare: false,
            has_no_lists: false,
        }
    }

    /// Owner and attributes. Before the mode: a change of owner clears its set-user-id bit.
    pub(crate) fn carry(&mut self, source: &File, before: &Metadata, preserve: Preserve) {
        let to = self.to;
        if preserve.owner && !has_owner_of(before, &self.target) {
            let owners = (Some(before.uid()), Some(before.gid()));
            let set = retry(|| std::os::unix::fs::fchown(to, owners.0, owners.1));
            note(&mut self.warnings, SET_OWNER, set);
            match look_at(to) {
                Ok(target) => self.target = target,
                Err(error) => self.warnings.push((SET_OWNER, error)),
            }
        }
        if preserve.xattrs {
            let is_bare = self.is_bare;
            let lists = Xattrs {
                there: &|| match is_bare {
                    true => Ok(Vec::new()),
                    false => xattr_open::list(to),
                },
                list: &|| xattr_open::list(source),
                get: &|name| xattr_open::get(source, name),
                set: &|name, value| xattr_open::set(to, name, value),
                remove: &|name| xattr_open::remove(to, name),
            };
            let same_owner = has_owner_of(before, &self.target);
            self.has_no_lists = lists.carry(before.is_dir(), same_owner, &mut self.warnings);
        }
    }

    /// All of a directory's, in their order.
    pub(crate) fn carry_all(&mut self, source: &File, before: &Metadata, preserve: Preserve) {
        self.carry(source, before, preserve);
        let mut mode = mode_for(before, Some(&self.target));
        if !self.has_no_lists {
            let beside = mode_beside_list(
                mode,
                |name| xattr_open::get(source, name),
                |name| xattr_open::get(self.to, name),
            );
            note(&mut self.warnings, GET_XATTR, beside.found);
            mode = beside.bits;
        }
        let permissions = std::fs::Permissions::from_mode(mode);
        let set = retry(|| self.to.set_permissions(permissions.clone()));
        note(&mut self.warnings, SET_PERMISSIONS, set);
        if preserve.times {
            let set = times_of(before).and_then(|times| retry(|| self.to.set_times(times)));
            note(&mut self.warnings, SET_TIMES, set);
        }
    }
}

/// The attributes of what is held by descriptors that are open for nothing, by their paths in /proc; `None` where there
/// is no /proc.
#[cfg(target_os = "linux")]
pub(super) fn onto_held(
    (from, to): (&CStr, &CStr),
    same_owner: bool,
    warnings: &mut Vec<Warning>,
) -> Option<()> {
    let listed = std::cell::RefCell::new(Some(xattr::list(from, true)));
    if let Some(Err(error)) = &*listed.borrow() {
        if error.kind() == io::ErrorKind::NotFound {
            return None;
        }
    }
    let lists = Xattrs {
        there: &|| xattr::list(to, true),
        list: &|| listed.take().unwrap_or(Ok(Vec::new())),
        get: &|name| xattr::get(from, name, true),
        set: &|name, value| xattr::set(to, name, value, true),
        remove: &|name| xattr::remove(to, name, true),
    };
    lists.carry(false, same_owner, warnings);
    Some(())
}

/// Owner and attributes of an open file, before its mode.
pub(crate) fn onto_file(
    source: &File,
    before: &Metadata,
    to: &File,
    preserve: Preserve,
) -> Vec<Warning> {
    let target = match look_at(to) {
        Ok(target) => target,
        Err(error) => return vec![(SET_OWNER, error)],
    };
    let mut onto = Onto::new(to, target);
    onto.carry(source, before, preserve);
    onto.warnings
}

/// All metadata of `from`, which is not followed, onto what is at `to`.
pub(crate) fn onto_path(from: &Path, to: &Path, preserve: Preserve) -> io::Result<Vec<Warning>> {
    let before = retry(|| std::fs::symlink_metadata(from))?;
    let (source, at) = (c_path(from)?, c_path(to)?);
    let link = before.is_symlink();
    let mut warnings = Vec::new();
    if preserve.owner {
        note(
            &mut warnings,
            SET_OWNER,
            retry(|| std::os::unix::fs::lchown(to, Some(before.uid()), Some(before.gid()))),
        );
    }
    let target = retry(|| std::fs::symlink_metadata(to)).ok().map(Stat::from);
    let same_owner = target
        .as_ref()
        .is_some_and(|target| has_owner_of(&before, target));
    if preserve.xattrs {
        let lists = Xattrs {
            there: &|| xattr::list(&at, false),
            list: &|| xattr::list(&source, false),
            get: &|name| xattr::get(&source, name, false),
            set: &|name, value| xattr::set(&at, name, value, false),
            remove: &|name| xattr::remove(&at, name, false),
        };
        lists.carry(before.is_dir(), same_owner, &mut warnings);
    }
    if !link {
        // A link that somebody put at the destination must not lead the mode elsewhere.
        let mode = mode_for(&before, target.as_ref());
        let list = |path: &CStr, name: &CStr| xattr::get(path, name, false);
        let mode = mode_beside_list(mode, |name| list(&source, name), |name| list(&at, name));
        note(&mut warnings, GET_XATTR, mode.found);
        note(&mut warnings, SET_PERMISSIONS, set_mode(to, mode.bits));
    }
    if preserve.times {
        let accessed = TimeSpec::new(before.atime() as _, before.atime_nsec() as _);
        let modified = TimeSpec::new(before.mtime() as _, before.mtime_nsec() as _);
        let flags = UtimensatFlags::NoFollowSymlink;
        let set = || utimensat(AT_FDCWD, to, &accessed, &modified, flags);
        note(&mut warnings, SET_TIMES, retry(|| Ok(set()?)));
    }
    Ok(warnings)
}

/// Sets the mode of what is no link. Before Linux 6.6 the C library does that through /proc; where that is missing too,
/// it is opened.
fn set_mode(to: &Path, mode: u32) -> io::Result<()> {
    let bits = Mode::from_bits_truncate(mode as libc::mode_t);
    let set = || fchmodat(AT_FDCWD, to, bits, FchmodatFlags::NoFollowSymlink);
    match retry(|| Ok(set()?)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        other => return other,
    }
    let mut options = File::options();
    options.read(true);
    let open = |more| {
        let mut options = options.clone();
        options.custom_flags(libc::O_NOFOLLOW | more | libc::O_NOCTTY);
        options.open(to)
    };
    let file = open_without_peer(open).map_err(|error| {
        let text =
            format!("{error}; it is opened for that without /proc and fchmodat2 (Linux 6.6)");
        io::Error::new(error.kind(), text)
    })?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// The times to set, as std wants them.
pub(crate) fn times_of(before: &Metadata) -> io::Result<FileTimes> {
    Ok(FileTimes::new()
        .set_accessed(before.accessed()?)
        .set_modified(before.modified()?))
}

pub(super) fn note(warnings: &mut Vec<Warning>, operation: &'static str, result: io::Result<()>) {
    if let Err(error) = result {
        warnings.push((operation, error));
    }
}

/// The attribute calls of a pair of files, whether open or by path.
struct Xattrs<'a> {
    /// Those that the copy has so far.
    there: &'a dyn Fn() -> io::Result<Vec<OsString>>,
    list: &'a dyn Fn() -> io::Result<Vec<OsString>>,
    get: &'a dyn Fn(&CStr) -> io::Result<Vec<u8>>,
    set: &'a dyn Fn(&CStr, &[u8]) -> io::Result<()>,
    remove: &'a dyn Fn(&CStr) -> io::Result<()>,
}

impl Xattrs<'_> {
    /// Whether there is nothing on either side that goes with the mode, as lists of access do.
    fn carry(&self, directory: bool, same_owner: bool, warnings: &mut Vec<Warning>) -> bool {
        let names = match (self.list)() {
            Ok(names) => names,
            Err(error) if xattr::are_never(&error) => return false,
            Err(error) => {
                warnings.push((LIST_XATTRS, error));
                return false;
            }
        };
        let mut has_no_lists = !names.iter().any(is_of_system);
        // A list inherited from the destination's parent would change what the mode means, and capabilities that the
        // destination has were not given to what may run it now.
        let has = |name: &CStr| {
            names
                .iter()
                .any(|found| found.as_bytes() == name.to_bytes())
        };
        let stays = |name: &CStr| {
            has(name) && (name != CAPABILITY || same_owner) || name == ACL_DEFAULT && !directory
        };
        if cfg!(target_os = "linux") {
            has_no_lists &= self.strip(stays, warnings);
        }
        self.set_all(names, same_owner, warnings);
        has_no_lists
    }

    /// Gives the destination what the source has.
    fn set_all(&self, names: Vec<OsString>, same_owner: bool, warnings: &mut Vec<Warning>) {
        for name in names
            .into_iter()
            .filter(|name| !xattr::is_alias(name.as_bytes()))
        {
            let Ok(name) = CString::new(name.into_vec()) else {
                continue;
            };
            if name.as_c_str() == CAPABILITY && !same_owner {
                // As with a set-user-id bit: they were given to a file that somebody else may write.
                let text = "capabilities go only with owner and group";
                let refused = io::Error::new(io::ErrorKind::PermissionDenied, text);
                warnings.push((SET_XATTR, refused));
                continue;
            }
            match (self.get)(&name) {
                Ok(value) => {
                    let set = (self.set)(&name, &value);
                    // The label of a new file is for the policy of its own filesystem to decide.
                    if set.is_err() && name.as_c_str() == c"security.selinux" {
                        continue;
                    }
                    note(warnings, SET_XATTR, set);
                }
                Err(error) if xattr::is_absent(&error) => {}
                Err(error) => warnings.push((GET_XATTR, error)),
            }
        }
    }

    /// Removes the rights that do not stay; whether there were no lists of access among them, nor others.
    fn strip(&self, stays: impl Fn(&CStr) -> bool, warnings: &mut Vec<Warning>) -> bool {
        // There is none, as a rule: to see that is one call, and to remove what is not there is a transaction each.
        let there = (self.there)();
        let may_have = |rights: &CStr| match &there {
            Ok(there) => there
                .iter()
                .any(|name| name.as_bytes() == rights.to_bytes()),
            Err(_) => true,
        };
        for rights in [ACL_ACCESS, ACL_DEFAULT, CAPABILITY] {
            if stays(rights) || !may_have(rights) {
                continue;
            }
            match (self.remove)(rights) {
                Err(error) if !is_none(&error) => {
                    warnings.push((REMOVE_XATTR, error));
                }
                _ => {}
            }
        }
        there.is_ok_and(|there| !there.iter().any(is_of_system))
    }
}

/// Whether an attribute is one that the system gives a meaning, as to lists of access.
fn is_of_system(name: &OsString) -> bool {
    name.as_bytes().starts_with(b"system.")
}
