//! What the flags of a completion say of a provided buffer.

/// The upper half is the id of a buffer.
const BUFFER: u32 = 1 << 0;
/// More completions of this entry will come.
const MORE: u32 = 1 << 1;
/// The kernel goes on filling the buffer.
const BUFFER_MORE: u32 = 1 << 4;
const ID_SHIFT: u32 = 16;

/// The buffer that a completion hands over, whatever its result is.
pub(crate) fn buffer_id(flags: u32) -> Option<u16> {
    (flags & BUFFER != 0).then_some((flags >> ID_SHIFT) as u16)
}

/// Whether more completions of the same entry will come.
pub(crate) fn has_more(flags: u32) -> bool {
    flags & MORE != 0
}

/// Whether the kernel goes on filling the buffer, as it does only where that was agreed.
pub(crate) fn buffer_more(flags: u32) -> bool {
    flags & BUFFER_MORE != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requirement R45: every combination of the low half with the ids at the edges, and every id.
    #[test]
    fn an_id_is_there_only_with_its_flag() {
        let ids = [0u16, 1, 0x00ff, 0x7fff, 0x8000, 0xfffe, 0xffff];
        for low in 0..=u16::MAX {
            for id in ids {
                let flags = u32::from(id) << 16 | u32::from(low);
                let expected = (low & 1 == 1).then_some(id);
                assert_eq!(buffer_id(flags), expected, "{flags:#x}");
                assert_eq!(has_more(flags), low & 2 == 2, "{flags:#x}");
                assert_eq!(buffer_more(flags), low & 16 == 16, "{flags:#x}");
            }
        }
        for id in 0..=u16::MAX {
            assert_eq!(buffer_id(u32::from(id) << 16 | 1), Some(id));
            assert_eq!(buffer_id(u32::from(id) << 16), None);
        }
    }

    /// The numbers are the kernel's, as the bindings have them.
    #[test]
    fn flags_are_those_of_the_bindings() {
        for flags in [0, BUFFER, MORE, BUFFER_MORE, u32::MAX, 0x0007_0011] {
            assert_eq!(buffer_id(flags), io_uring::cqueue::buffer_select(flags));
            assert_eq!(has_more(flags), io_uring::cqueue::more(flags));
            assert_eq!(buffer_more(flags), io_uring::cqueue::buffer_more(flags));
        }
    }
}
