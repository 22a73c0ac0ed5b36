//! Lengths of files and of functions.

use crate::lex::Rust;

const SOURCE_LINES_MAX: usize = 600;
const TEST_LINES_MAX: usize = 900;
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn check(file: &Rust) -> Vec<String> {
    let mut offences = Vec::new();
    let is_test = file.path.starts_with("tests/") || file.path.contains("/tests/");
    let most = if is_test {
        TEST_LINES_MAX
    } else {
        SOURCE_LINES_MAX
    };
    if file.lines > most {
        offences.push(format!(
            "{}:{}: the file is over {most} lines",
            file.path, file.lines
        ));
    }
    for start in file.find(&["fn"]) {
        let Some(end) = body_end(file, start) else {
            continue;
        };
        let lines = file.tokens[end].line - file.tokens[start].line + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = file.text(start + 1);
            let what = format!("fn {name} has {lines} lines, over {FUNCTION_LINES_MAX}");
            offences.push(file.offence(start, &what));
        }
    }
    offences
}

/// The last token of the function whose `fn` is at `start`; none for a type or a bare signature.
fn body_end(file: &Rust, start: usize) -> Option<usize> {
    if file.text(start + 1) == "(" {
        return None;
    }
    let mut index = start;
    while index < file.tokens.len() {
        match file.text(index) {
            "{" => return Some(file.closing(index)),
            ";" => return None,
            "(" | "[" => index = file.closing(index) + 1,
            _ => index += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Rust, check};

    fn offences(path: &str, text: &str) -> usize {
        check(&Rust::new(path, text)).len()
    }

    #[test]
    fn a_long_function_is_found_and_a_short_one_is_not() {
        let body =
            |lines: usize| format!("fn f(a: [u8; {{ 4 }}]) {{\n{}}}\n", "x();\n".repeat(lines));
        assert_eq!(offences("src/a.rs", &body(68)), 0);
        assert_eq!(offences("src/a.rs", &body(69)), 1);
    }

    #[test]
    fn braces_in_text_and_bodiless_signatures_do_not_confuse() {
        let gap = "const A: u8 = 0;\n".repeat(80);
        let text = format!(
            "trait T {{ fn a(&self); }}\ntype F = fn(u8);\nfn b() {{ g('{{', \"{{\") }}\n{gap}"
        );
        assert_eq!(offences("src/a.rs", &text), 0);
    }

    #[test]
    fn a_long_file_is_found() {
        let lines = |count: usize| "// x\n".repeat(count);
        assert_eq!(offences("src/a.rs", &lines(600)), 0);
        assert_eq!(offences("src/a.rs", &lines(601)), 1);
        assert_eq!(offences("tests/a.rs", &lines(900)), 0);
        assert_eq!(offences("tests/a.rs", &lines(901)), 1);
    }
}
