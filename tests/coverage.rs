//! The coverage audit is what the op table says.

use std::fmt::Write;

use tidegate::opcode::TABLE;

const PATH: &str = "docs/audits/data-path-coverage.md";

fn audit() -> String {
    let with_opcode = TABLE.iter().filter(|row| row.opcode.is_some()).count();
    let mut text = format!(
        "# Data-path coverage\n\n\
         **Question.** Which operations go through the ring, from which kernel on, and what does the others?\n\n\
         **Verdict.** {with_opcode} of {} operations have an opcode, and each of them is submitted as one. The others\n\
         have none in any kernel up to 7.2, or are several steps in one hop to a blocking thread.\n\n\
         **Command.** `TIDEGATE_BLESS=1 cargo test --test coverage` writes this file from `src/opcode/mod.rs`; without the\n\
         variable the test compares.\n\n\
         | operation | opcode | since | blocking equivalent | a cancel may leave | yields fd | deadline class |\n\
         |---|---|---|---|---|---|---|\n",
        TABLE.len(),
    );
    for row in TABLE {
        let (opcode, since) = match row.opcode {
            Some(opcode) => {
                let (major, minor) = opcode.first_kernel;
                (opcode.name, format!("{major}.{minor}"))
            }
            None => ("-", "-".to_owned()),
        };
        writeln!(
            text,
            "| {} | {opcode} | {since} | `{}` | {} | {} | {:?} |",
            row.name,
            row.blocking,
            row.cancel_leaves,
            if row.returns_fd { "yes" } else { "no" },
            row.deadline_class,
        )
        .unwrap();
    }
    text
}

/// The file in `docs/audits` is the one that the table yields.
#[test]
fn the_audit_is_current() {
    let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
    let expected = audit();
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{PATH} is stale: TIDEGATE_BLESS=1 cargo test --test coverage"
    );
}
