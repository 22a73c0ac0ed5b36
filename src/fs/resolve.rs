//! What may happen on the way to a file.

use crate::op::open::resolve;

/// Restrictions on the way to a file, for [`Dir::open_file_within`](super::Dir::open_file_within) and
/// [`Dir::open_dir_within`](super::Dir::open_dir_within). None at first; the kernel keeps them in one step with
/// the open, so that nobody can change the way in between.
///
/// # Examples
///
/// ```
/// use tidegate::fs::Resolve;
/// let upload = Resolve::new().beneath().no_symlinks();
/// # assert_ne!(upload, Resolve::new());
/// ```
#[doc(alias = "openat2")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resolve(u64);

impl Resolve {
    /// No restrictions.
    ///
    /// See [`Resolve`].
    pub const fn new() -> Resolve {
        Resolve(0)
    }

    /// Fails where the way leads out of the directory, by `..`, a symbolic link or an absolute path
    /// (RESOLVE_BENEATH).
    ///
    /// See [`Resolve`].
    #[doc(alias = "RESOLVE_BENEATH")]
    pub const fn beneath(self) -> Resolve {
        Resolve(self.0 | resolve::BENEATH)
    }

    /// Takes the directory for the root, as after `chroot(2)`: absolute paths and links start from it, and
    /// `..` goes no higher (RESOLVE_IN_ROOT). Not together with [`beneath`](Resolve::beneath).
    ///
    /// See [`Resolve`].
    #[doc(alias = "RESOLVE_IN_ROOT")]
    pub const fn in_root(self) -> Resolve {
        Resolve(self.0 | resolve::IN_ROOT)
    }

    /// Fails at the links of `/proc` that lead past all paths, such as `/proc/self/fd/3`
    /// (RESOLVE_NO_MAGICLINKS).
    ///
    /// See [`Resolve`].
    #[doc(alias = "RESOLVE_NO_MAGICLINKS")]
    pub const fn no_magiclinks(self) -> Resolve {
        Resolve(self.0 | resolve::NO_MAGICLINKS)
    }

    /// Fails at any symbolic link (RESOLVE_NO_SYMLINKS).
    ///
    /// See [`Resolve`].
    #[doc(alias = "RESOLVE_NO_SYMLINKS")]
    pub const fn no_symlinks(self) -> Resolve {
        Resolve(self.0 | resolve::NO_SYMLINKS)
    }

    /// Fails where the way leads to another mount (RESOLVE_NO_XDEV).
    ///
    /// See [`Resolve`].
    #[doc(alias = "RESOLVE_NO_XDEV")]
    pub const fn no_xdev(self) -> Resolve {
        Resolve(self.0 | resolve::NO_XDEV)
    }

    /// The flags of `openat2(2)`.
    pub(super) fn flags(self) -> u64 {
        self.0
    }
}
