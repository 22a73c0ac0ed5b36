//! Which platforms a part of the sources is for, from its attributes and from the macros around it.

use std::collections::BTreeMap;
use std::path::Path;

use proc_macro2::TokenTree;
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Meta, Token};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Platform {
    Linux,
    Mac,
    Windows,
}

pub(crate) const ALL: [Platform; 3] = [Platform::Linux, Platform::Mac, Platform::Windows];

/// What tells a platform. Features are on; tests, documentation and unstable parts are not there.
fn holds(meta: &Meta, platform: Platform) -> bool {
    let name = |path: &syn::Path| {
        path.get_ident()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    match meta {
        Meta::Path(path) => match name(path).as_str() {
            "unix" => platform != Platform::Windows,
            "windows" => platform == Platform::Windows,
            "test" | "doc" | "docsrs" | "loom" | "tokio_unstable" => false,
            other => panic!("cfg({other}) is not known"),
        },
        Meta::NameValue(pair) => {
            let syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(value),
                ..
            }) = &pair.value
            else {
                panic!("a cfg without a text");
            };
            match (name(&pair.path).as_str(), value.value().as_str()) {
                ("feature", _) => true,
                ("target_os", "linux") => platform == Platform::Linux,
                ("target_os", "macos") | ("target_vendor", "apple") => platform == Platform::Mac,
                ("target_family", "unix") => platform != Platform::Windows,
                ("target_family", "windows") => platform == Platform::Windows,
                _ => false,
            }
        }
        Meta::List(list) => {
            let parse = Punctuated::<Meta, Token![,]>::parse_terminated;
            let inner = list.parse_args_with(parse).unwrap();
            let mut inner = inner.iter().map(|meta| holds(meta, platform));
            match name(&list.path).as_str() {
                "all" => inner.all(|holds| holds),
                "any" => inner.any(|holds| holds),
                "not" => !inner.next().unwrap(),
                other => panic!("cfg({other}(..)) is not known"),
            }
        }
    }
}

/// The platforms among these that the attributes leave.
pub(crate) fn left(platforms: &[Platform], attributes: &[Attribute]) -> Vec<Platform> {
    let mut left = platforms.to_vec();
    for attribute in attributes {
        if attribute.path().is_ident("cfg") {
            let meta: Meta = attribute.parse_args().unwrap();
            left.retain(|&platform| holds(&meta, platform));
        }
    }
    left
}

/// tokio's macros that put an attribute on each item in them: the attribute of each.
pub(crate) struct Macros(BTreeMap<String, Meta>);

impl Macros {
    /// From the file that defines them; a crate without such macros has none.
    pub(crate) fn read(path: &Path) -> Macros {
        let mut found = BTreeMap::new();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for item in syn::parse_file(&text).unwrap().items {
            let Item::Macro(definition) = item else {
                continue;
            };
            let (Some(name), Some(meta)) = (definition.ident, first_cfg(definition.mac.tokens))
            else {
                continue;
            };
            found.insert(name.to_string(), meta);
        }
        Macros(found)
    }

    /// The platforms of what is in the macro; `inner` are the attributes at its start.
    pub(crate) fn left(
        &self,
        name: &str,
        platforms: &[Platform],
        inner: &[Attribute],
    ) -> Vec<Platform> {
        if let Some(meta) = self.0.get(name) {
            let left = platforms.iter().filter(|&&platform| holds(meta, platform));
            return left.copied().collect();
        }
        // One that takes its condition as an argument.
        let holds_all = |platform: &Platform| inner.iter().all(|a| holds(&a.meta, *platform));
        assert!(!inner.is_empty(), "{name}! is not known");
        platforms.iter().copied().filter(holds_all).collect()
    }
}

/// The first `cfg(..)` with a condition of its own among the tokens.
fn first_cfg(tokens: proc_macro2::TokenStream) -> Option<Meta> {
    let mut after_cfg = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if after_cfg {
                return syn::parse2(group.stream()).ok();
            }
            if let Some(meta) = first_cfg(group.stream()) {
                return Some(meta);
            }
        }
        after_cfg = matches!(&token, TokenTree::Ident(name) if name == "cfg");
    }
    None
}
