//! Memory of its own pages, for buffers that the kernel holds on to.
#![allow(unsafe_code, reason = "maps memory, and unmaps it")]

use std::io;
use std::ptr::NonNull;

use super::errno;

/// Bytes of a page.
pub(crate) fn page_bytes() -> usize {
    // SAFETY: takes and gives numbers alone.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// Bytes of a huge page, of the size that x86 and most others have.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Zeroed pages that nobody else uses, gone with the value.
pub(crate) struct Mapping {
    /// Where the system put them.
    placed: NonNull<u8>,
    placed_bytes: usize,
    /// The first address in them with the alignment asked for.
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the pages are this value's alone, and are not bound to a thread.
unsafe impl Send for Mapping {}
// SAFETY: a shared mapping gives its address away, and what uses it vouches for itself.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// So many bytes at a multiple of `align`, which is a power of two. Of huge pages, if they are wanted and
    /// the system has some.
    pub(crate) fn new(bytes: usize, align: usize, huge_pages: bool) -> io::Result<Mapping> {
        if huge_pages {
            if let Some(mapping) = Mapping::reserved(bytes, align) {
                return Ok(mapping);
            }
            let mapping = Mapping::aligned(bytes, align.max(HUGE_PAGE_BYTES))?;
            mapping.want_huge_pages();
            return Ok(mapping);
        }
        Mapping::aligned(bytes, align)
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn aligned(bytes: usize, align: usize) -> io::Result<Mapping> {
        let slack = align.saturating_sub(page_bytes());
        let placed_bytes = bytes.checked_add(slack).ok_or_else(too_much)?;
        Mapping::map(bytes, placed_bytes, align, 0)
    }

    /// From the huge pages that the system keeps ready, which are usually none.
    #[cfg(target_os = "linux")]
    fn reserved(bytes: usize, align: usize) -> Option<Mapping> {
        let placed_bytes = bytes.checked_next_multiple_of(HUGE_PAGE_BYTES)?;
        let flags = libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        (align <= HUGE_PAGE_BYTES)
            .then(|| Mapping::map(bytes, placed_bytes, align, flags))?
            .ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn reserved(_bytes: usize, _align: usize) -> Option<Mapping> {
        None
    }

    fn map(bytes: usize, placed_bytes: usize, align: usize, flags: i32) -> io::Result<Mapping> {
        // SAFETY: new pages at an address of the system's choice touch nothing that is there.
        let placed = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                placed_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
                -1,
                0,
            )
        };
        if placed == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let placed = NonNull::new(placed.cast::<u8>()).ok_or_else(too_much)?;
        let before = placed.addr().get().next_multiple_of(align) - placed.addr().get();
        Ok(Mapping {
            placed,
            placed_bytes,
            // SAFETY: there are at least `align` bytes, less a page, more than asked for.
            start: unsafe { placed.add(before) },
            bytes,
        })
    }

    /// Huge pages where the system can make some: it is free not to.
    fn want_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        // SAFETY: advice on pages of this mapping, which changes nothing in them.
        unsafe {
            libc::madvise(self.start.as_ptr().cast(), self.bytes, libc::MADV_HUGEPAGE);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length, and unmapped once. Whoever has an address of it holds the
        // value (INV-1).
        unsafe { libc::munmap(self.placed.as_ptr().cast(), self.placed_bytes) };
    }
}

fn too_much() -> io::Error {
    io::Error::from_raw_os_error(errno::ENOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R47: zeroed, writable to the last byte, at the alignment asked for, also where that is over a page.
    #[test]
    fn pages_are_aligned_zeroed_and_writable() {
        let page = page_bytes();
        for align in [page, 4 * page, 1 << 20, 4 << 20] {
            for huge_pages in [false, true] {
                let bytes = 3 * page;
                let mapping = Mapping::new(bytes, align, huge_pages).unwrap();
                assert_eq!(mapping.start().addr().get() % align, 0);
                assert_eq!(mapping.bytes(), bytes);
                // SAFETY: the mapping has so many bytes, and is used here alone.
                let all = unsafe {
                    std::slice::from_raw_parts_mut(mapping.start().as_ptr(), mapping.bytes())
                };
                assert!(all.iter().all(|&byte| byte == 0));
                all.fill(7);
            }
        }
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        for bytes in [usize::MAX, usize::MAX / 2] {
            let error = Mapping::new(bytes, page_bytes(), false).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(errno::ENOMEM));
        }
    }
}
