//! What sets an entry apart from a plain one of its opcode.

use super::TABLE;

/// An entry's opcode, and what sets it apart from a plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form(u8);

/// Set in a form whose buffer the kernel picks.
const SELECT: u8 = 0x40;
/// Set in a form that goes to the ring's own table of files.
const DIRECT: u8 = 0x80;

/// Opcodes that no operation is named after.
const OTHERS: &[(u8, &str)] = &[
    (0, "NOP"),
    (4, "READ_FIXED"),
    (5, "WRITE_FIXED"),
    (14, "ASYNC_CANCEL"),
    (54, "FIXED_FD_INSTALL"),
    (60, "READV_FIXED"),
    (61, "WRITEV_FIXED"),
];

impl Form {
    /// For an opcode by number; all that there are are below 64.
    pub(crate) fn plain(code: u8) -> Form {
        Form(code & !(SELECT | DIRECT))
    }

    pub(crate) fn select(self) -> Form {
        Form(self.0 | SELECT)
    }

    pub(crate) fn direct(self) -> Form {
        Form(self.0 | DIRECT)
    }

    /// A number of its own.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The one that has this number.
    pub(crate) fn of_index(index: u8) -> Form {
        Form(index)
    }

    pub(crate) fn name(self) -> String {
        let code = self.0 & !(SELECT | DIRECT);
        let mut opcodes = TABLE.iter().filter_map(|row| row.opcode);
        let of_table = opcodes.find(|opcode| opcode.code == code);
        let of_others = || OTHERS.iter().find(|other| other.0 == code);
        let name = of_table
            .map(|opcode| opcode.name)
            .or_else(|| of_others().map(|other| other.1));
        let mut name = name.map_or_else(|| format!("opcode {code}"), str::to_owned);
        if self.0 & SELECT != 0 {
            name.push_str("+BUFFER_SELECT");
        }
        if self.0 & DIRECT != 0 {
            name.push_str("+DIRECT");
        }
        name
    }
}
