//! Examples: each public item of the library has one, or says which other item has it.

use std::collections::HashSet;

use crate::lex::Rust;

/// A public function or type, and its documentation.
struct Item<'a> {
    file: &'a Rust,
    index: usize,
    name: &'a str,
    docs: Vec<&'a str>,
}

pub(crate) fn check(files: &[Rust]) -> Vec<String> {
    let library = files.iter().filter(|file| file.path.starts_with("src/"));
    let items: Vec<Item<'_>> = library.flat_map(items).collect();
    let shown = items.iter().filter(|item| has_block(&item.docs));
    let shown: HashSet<&str> = shown.map(|item| item.name).collect();
    let lacking = items.iter().filter(|item| {
        let leads = |name: &str| name != item.name && shown.contains(name);
        !has_block(&item.docs) && !targets(&item.docs).iter().any(|name| leads(name))
    });
    let offence = |item: &Item<'_>| {
        let what = format!(
            "{} has no example, nor `See` with an item that has one",
            item.name
        );
        item.file.offence(item.index, &what)
    };
    lacking.map(offence).collect()
}

/// What is `pub`, and not only within the crate. An unreachable `pub` is a compiler's warning.
fn items(file: &Rust) -> Vec<Item<'_>> {
    let public = file.find(&["pub"]).into_iter();
    let item = |index: usize| {
        let mut at = index + 1;
        while matches!(file.text(at), "async" | "const" | "unsafe") {
            at += 1;
        }
        let is_item = matches!(file.text(at), "enum" | "fn" | "struct" | "trait");
        is_item.then(|| Item {
            file,
            index,
            name: file.text(at + 1),
            docs: docs(file, index),
        })
    };
    public.filter_map(item).collect()
}

/// The lines of documentation above the token, with attributes between them and it.
fn docs(file: &Rust, index: usize) -> Vec<&str> {
    let mut first = index;
    while first > 0 && file.text(first - 1) == "]" {
        let Some(start) = attribute(file, first - 1) else {
            break;
        };
        first = start;
    }
    let above = first
        .checked_sub(1)
        .map_or(0, |before| file.tokens[before].line);
    let line = file.tokens[index].line;
    let comments = file.comments.iter();
    let between =
        comments.filter(|(at, text)| *at > above && *at < line && text.starts_with("///"));
    between.map(|(_, text)| text.as_str()).collect()
}

/// Where the attribute begins that ends with the bracket at `close`.
fn attribute(file: &Rust, close: usize) -> Option<usize> {
    (0..close).rev().find(|&start| {
        file.text(start) == "#" && file.text(start + 1) == "[" && file.closing(start + 1) == close
    })
}

fn has_block(docs: &[&str]) -> bool {
    docs.iter().any(|line| line.contains("```"))
}

/// The last names of the items after a `See`, on its line.
fn targets<'a>(docs: &[&'a str]) -> Vec<&'a str> {
    let seen = docs.iter().filter_map(|line| line.split_once("See [`"));
    let names = seen.flat_map(|(_, rest)| rest.split('`').step_by(2));
    names
        .filter_map(|path| path.trim_end_matches("()").rsplit("::").next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Rust, check};

    fn offences(text: &str) -> Vec<String> {
        check(&[Rust::new("src/a.rs", text)])
    }

    #[test]
    fn an_item_without_an_example_is_found() {
        let text = "/// Does.\n#[must_use]\npub async fn a() {}\n\n/// Is.\npub struct B;\npub trait C {}\n";
        let found = offences(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("src/a.rs:3: a has no example"),
            "{found:?}"
        );
        assert_eq!(
            offences("/// See [`b`].\npub fn a() {}\n/// x\npub fn b() {}\n").len(),
            2
        );
        assert_eq!(offences("/// See [`a`].\npub fn a() {}\n").len(), 1);
    }

    #[test]
    fn an_example_counts_here_or_where_the_documentation_leads() {
        let text = "/// ```\n/// a();\n/// ```\n#[doc(alias = \"x\")]\n#[cfg(all(unix))]\npub fn a() {}\n\n\
                    /// See [`a`].\npub fn b() {}\n\n/// See [`S::b`] and [`a`](S::a()).\npub const fn c() {}\n";
        assert_eq!(offences(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_public_needs_none() {
        let text = "pub(crate) fn a() {}\nfn b() {}\npub use x::y;\npub mod m;\nstruct S { pub field: u8 }";
        assert_eq!(offences(text), Vec::<String>::new());
        assert!(check(&[Rust::new("tests/a.rs", "pub fn a() {}")]).is_empty());
    }
}
