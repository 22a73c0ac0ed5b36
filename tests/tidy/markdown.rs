//! Documents: their length, and where their links lead.

use std::path::Path;

use crate::tree::{Text, root};

const DOCUMENT_LINES_MAX: usize = 120;

pub(crate) fn check(file: &Text) -> Vec<String> {
    check_in(file, &|target: &Path| root().join(target).exists())
}

fn check_in(file: &Text, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut offences = Vec::new();
    if !file.path.ends_with(".md") {
        return offences;
    }
    let lines = file.text.lines().count();
    if file.path.starts_with("docs/") && lines > DOCUMENT_LINES_MAX {
        offences.push(format!(
            "{}:{lines}: the file is over {DOCUMENT_LINES_MAX} lines",
            file.path
        ));
    }
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    for (line, target) in links(&file.text) {
        let path = target.split('#').next().unwrap_or_default();
        let outside = target.contains("://") || target.starts_with("mailto:");
        if !outside && !path.is_empty() && (path.starts_with('/') || !exists(&folder.join(path))) {
            offences.push(format!(
                "{}:{line}: the link leads nowhere: {target}",
                file.path
            ));
        }
    }
    offences
}

/// The targets of `[text](target)` and `[label]: target`, outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        if bare.starts_with("```") || bare.starts_with("~~~") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part stands between backticks.
        let prose: String = bare.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next());
        let labelled = prose
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "));
        let labelled = labelled.and_then(|(_, rest)| rest.split_whitespace().next());
        let targets = inline.chain(labelled);
        found.extend(targets.map(|target| (index + 1, target.trim_matches(['<', '>']).to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Path, Text, check_in};

    fn offences(path: &str, text: &str) -> Vec<String> {
        let (path, text) = (path.to_owned(), text.to_owned());
        check_in(&Text { path, text }, &|target| {
            target == Path::new("docs/../README.md")
        })
    }

    #[test]
    fn dead_links_are_found_and_live_ones_are_not() {
        let dead = "[a](gone.md) ![b](../gone.png \"t\")\n\n[c]: gone.md#part\n[d](/README.md)";
        assert_eq!(offences("docs/a.md", dead).len(), 4);
        assert!(offences("docs/a.md", dead)[2].starts_with("docs/a.md:3:"));
        let live = "[a](../README.md) [`b`](../README.md#x) [c](#here) [d](https://x.org/y.md)";
        assert_eq!(offences("docs/a.md", live).len(), 0);
    }

    #[test]
    fn code_is_not_read_for_links() {
        assert_eq!(
            offences("docs/a.md", "`[a](gone.md)`\n```\n[b](gone.md)\n```\n").len(),
            0
        );
        assert_eq!(offences("docs/a.md", "```\n```\n[b](gone.md)\n").len(), 1);
    }

    #[test]
    fn a_long_document_is_found() {
        assert_eq!(offences("docs/a.md", &"x\n".repeat(120)).len(), 0);
        assert_eq!(offences("docs/a.md", &"x\n".repeat(121)).len(), 1);
        assert_eq!(offences("README.md", &"x\n".repeat(121)).len(), 0);
    }
}
