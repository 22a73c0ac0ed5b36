//! The style that a compiler does not check, as ordinary tests. Each names every offender with its line.
//!
//! The checks are in `tests/tidy/`, with samples that show that each one finds what it is for.

#[path = "tidy/examples.rs"]
mod examples;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/lex.rs"]
mod lex;
#[path = "tidy/logging.rs"]
mod logging;
#[path = "tidy/markdown.rs"]
mod markdown;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/unsafety.rs"]
mod unsafety;
#[path = "tidy/words.rs"]
mod words;

fn report<T>(files: Vec<T>, check: fn(&T) -> Vec<String>) {
    let offences: Vec<String> = files.iter().flat_map(check).collect();
    assert!(
        offences.is_empty(),
        "{} found:\n{}",
        offences.len(),
        offences.join("\n")
    );
}

#[test]
fn files_and_functions_are_short() {
    report(tree::rust(), size::check);
}

#[test]
fn layers_use_only_what_is_below() {
    report(tree::rust(), layers::check);
}

#[test]
fn no_two_folders_use_each_other() {
    let circles = layers::circles(&tree::rust());
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn what_users_see_has_examples() {
    let offences = examples::check(&tree::rust());
    assert!(
        offences.is_empty(),
        "{} found:\n{}",
        offences.len(),
        offences.join("\n")
    );
}

#[test]
fn events_are_made_in_one_place() {
    report(tree::rust(), logging::check);
}

#[test]
fn unsafe_is_in_its_place_and_explained() {
    report(tree::rust(), unsafety::check);
}

#[test]
fn code_has_no_placeholders_bare_errors_or_bare_locks() {
    report(tree::rust(), words::check);
}

#[test]
fn texts_are_finished_and_name_no_machine() {
    report(tree::texts(), words::check_text);
}

#[test]
fn documents_are_short_and_their_links_lead_somewhere() {
    report(tree::texts(), markdown::check);
}
