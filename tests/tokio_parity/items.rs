//! The public items of a module with files, from its sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, Type, UseTree, Visibility};

use crate::platform::{ALL, Macros, Platform, left};
use crate::signature::{Names, normal};

/// One public item: a function, a type, a method, or the traits of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) signature: String,
    pub(crate) returns_future: bool,
    pub(crate) platforms: Vec<Platform>,
}

pub(crate) type Items = BTreeMap<String, Found>;

/// The public items of the module `fs` in the sources of a crate.
pub(crate) fn of_crate(sources: &Path) -> Items {
    let macros = Macros::read(&sources.join("macros/cfg.rs"));
    let mut reader = Reader {
        macros,
        exports: BTreeMap::new(),
        items: Items::new(),
    };
    let root = sources.join("fs/mod.rs");
    reader.exports(&parsed(&root).items, &ALL);
    reader.file(&root, &ALL);
    reader.items
}

struct Reader {
    macros: Macros,
    /// What the root of the module exports, and where.
    exports: BTreeMap<String, Vec<Platform>>,
    items: Items,
}

fn parsed(path: &Path) -> syn::File {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    syn::parse_file(&text).unwrap()
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl Reader {
    /// The items of a macro that puts a condition on them, and the platforms that it leaves.
    fn inside(
        &self,
        item: &syn::ItemMacro,
        platforms: &[Platform],
    ) -> Option<(syn::File, Vec<Platform>)> {
        let file: syn::File = syn::parse2(item.mac.tokens.clone()).ok()?;
        let name = item.mac.path.to_token_stream().to_string();
        let left = self.macros.left(&name, platforms, &file.attrs);
        Some((file, left))
    }

    fn exports(&mut self, items: &[Item], platforms: &[Platform]) {
        for item in items {
            let platforms = left(platforms, attributes(item));
            match item {
                Item::Use(item) if matches!(item.vis, Visibility::Public(_)) => {
                    self.export(&item.tree, &platforms);
                }
                Item::Macro(item) if item.ident.is_none() => {
                    if let Some((file, platforms)) = self.inside(item, &platforms) {
                        self.exports(&file.items, &platforms);
                    }
                }
                _ => {}
            }
        }
    }

    fn export(&mut self, tree: &UseTree, platforms: &[Platform]) {
        match tree {
            UseTree::Path(path) => self.export(&path.tree, platforms),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.export(tree, platforms)),
            UseTree::Name(name) => {
                self.exports
                    .insert(name.ident.to_string(), platforms.to_vec());
            }
            UseTree::Rename(_) | UseTree::Glob(_) => panic!("an export under another name"),
        }
    }

    fn file(&mut self, path: &Path, platforms: &[Platform]) {
        let file = parsed(path);
        let mut names = Names::default();
        names.types = self
            .exports
            .keys()
            .filter(|name| starts_type(name))
            .cloned()
            .collect();
        self.imports(&mut names, &file.items);
        self.items(&file.items, platforms, &names, path);
    }

    fn imports(&self, names: &mut Names, items: &[Item]) {
        for item in items {
            // Of those for one platform, any names the same.
            match item {
                Item::Use(item) if !left(&ALL, &item.attrs).is_empty() => {
                    names.import(&item.tree, "")
                }
                Item::Macro(item) if item.ident.is_none() => {
                    let inside = self.inside(item, &ALL);
                    if let Some((file, _)) = inside.filter(|(_, left)| !left.is_empty()) {
                        self.imports(names, &file.items);
                    }
                }
                _ => {}
            }
        }
    }

    fn items(&mut self, items: &[Item], platforms: &[Platform], names: &Names, path: &Path) {
        for item in items {
            let platforms = left(platforms, attributes(item));
            if platforms.is_empty() {
                continue;
            }
            match item {
                Item::Mod(module) if module.content.is_none() => {
                    self.file(&module_file(path, &module.ident.to_string()), &platforms);
                }
                Item::Macro(item) if item.ident.is_none() => {
                    if let Some((file, platforms)) = self.inside(item, &platforms) {
                        self.items(&file.items, &platforms, names, path);
                    }
                }
                Item::Fn(item) if matches!(item.vis, Visibility::Public(_)) => {
                    self.function(&item.sig.ident.to_string(), &item.sig, platforms, names);
                }
                Item::Struct(item) => {
                    self.of_type(&item.ident.to_string(), &item.attrs, &platforms)
                }
                Item::Enum(item) => self.of_type(&item.ident.to_string(), &item.attrs, &platforms),
                Item::Impl(item) => self.implementation(item, &platforms, names),
                _ => {}
            }
        }
    }

    /// Nothing that is not exported is public.
    fn exported(&self, name: &str, platforms: &[Platform]) -> Vec<Platform> {
        let exported = self.exports.get(name).map_or(&[][..], Vec::as_slice);
        platforms
            .iter()
            .copied()
            .filter(|platform| exported.contains(platform))
            .collect()
    }

    fn add(
        &mut self,
        name: String,
        signature: String,
        returns_future: bool,
        platforms: Vec<Platform>,
    ) {
        if platforms.is_empty() {
            return;
        }
        // Two of one name, each for its platforms, are told apart by their signatures.
        let entry = self.items.entry(name.clone()).or_default();
        if entry.platforms.is_empty() || entry.signature == signature {
            entry.platforms.extend(platforms);
            entry.platforms.sort();
            (entry.signature, entry.returns_future) = (signature, returns_future);
        } else {
            let found = Found {
                signature,
                returns_future,
                platforms,
            };
            self.items.insert(format!("{name} "), found);
        }
    }

    fn function(
        &mut self,
        name: &str,
        of: &syn::Signature,
        platforms: Vec<Platform>,
        names: &Names,
    ) {
        let first = name.split("::").next().unwrap();
        let platforms = self.exported(first, &platforms);
        let (signature, returns_future) = normal(names, of);
        self.add(name.to_owned(), signature, returns_future, platforms);
    }

    fn of_type(&mut self, name: &str, attributes: &[Attribute], platforms: &[Platform]) {
        for attribute in attributes.iter().filter(|a| a.path().is_ident("derive")) {
            let derived = attribute.meta.require_list().unwrap().tokens.to_string();
            for derived in derived.split(',') {
                let of_trait = format!("{name}: {}", derived.trim().rsplit(' ').next().unwrap());
                self.add(
                    of_trait,
                    String::new(),
                    false,
                    self.exported(name, platforms),
                );
            }
        }
        self.add(
            name.to_owned(),
            String::new(),
            false,
            self.exported(name, platforms),
        );
    }

    fn implementation(&mut self, of: &syn::ItemImpl, platforms: &[Platform], names: &Names) {
        let Type::Path(path) = &*of.self_ty else {
            return;
        };
        let name = path.path.segments.last().unwrap().ident.to_string();
        let mut names = names.clone();
        names.this = Some(format!("fs::{name}"));
        if let Some((_, of_trait, _)) = &of.trait_ {
            let of_trait = format!("{name}: {}", names.implemented(of_trait));
            let platforms = self.exported(&name, platforms);
            return self.add(of_trait, String::new(), false, platforms);
        }
        for item in &of.items {
            let ImplItem::Fn(item) = item else { continue };
            if matches!(item.vis, Visibility::Public(_)) {
                let method = format!("{name}::{}", item.sig.ident);
                self.function(&method, &item.sig, left(platforms, &item.attrs), &names);
            }
        }
    }
}

fn starts_type(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

/// Where the module is that the file at `path` declares.
fn module_file(path: &Path, name: &str) -> PathBuf {
    let folder = path.parent().unwrap();
    let folder = match path.file_stem().unwrap().to_str() {
        Some("mod") => folder.to_owned(),
        Some(file) => folder.join(file),
        None => unreachable!("names of sources are UTF-8"),
    };
    let beside = folder.join(format!("{name}.rs"));
    if beside.exists() {
        beside
    } else {
        folder.join(name).join("mod.rs")
    }
}
