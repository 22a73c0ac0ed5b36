//! Signatures in one form, however they are written.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::{
    FnArg, GenericArgument, GenericParam, PathArguments, ReturnType, Signature, Type,
    TypeParamBound, UseTree, WherePredicate,
};

/// What names mean in a file.
#[derive(Clone, Default)]
pub(crate) struct Names {
    /// The full path of each imported name.
    imports: BTreeMap<String, String>,
    /// The public types of the module.
    pub(crate) types: BTreeSet<String>,
    /// What `Self` is.
    pub(crate) this: Option<String>,
}

impl Names {
    pub(crate) fn import(&mut self, tree: &UseTree, start: &str) {
        let join = |name: &str| format!("{start}{name}");
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &join(&format!("{}::", path.ident))),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, start)),
            UseTree::Name(name) if name.ident == "self" => {
                let path = start.trim_end_matches("::");
                let last = path.rsplit("::").next().unwrap();
                self.imports.insert(last.to_owned(), path.to_owned());
            }
            UseTree::Name(name) => {
                self.imports
                    .insert(name.ident.to_string(), join(&name.ident.to_string()));
            }
            UseTree::Rename(rename) => {
                self.imports
                    .insert(rename.rename.to_string(), join(&rename.ident.to_string()));
            }
            UseTree::Glob(_) => {}
        }
    }

    /// The path as it is known from outside.
    fn path(&self, path: &syn::Path) -> String {
        let mut segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments == ["Self"] {
            return self.this.clone().unwrap();
        }
        if let Some(import) = self.imports.get(&segments[0]) {
            segments.splice(..1, import.split("::").map(str::to_owned));
        }
        let last = segments.last().unwrap().clone();
        let of_std = matches!(&*segments[0], "std" | "core");
        if !of_std && self.types.contains(&last) {
            return format!("fs::{last}");
        }
        // tokio's own name for its traits, and what std has under several.
        let text = segments.join("::");
        let text = text
            .replace("crate::io::", "tokio::io::")
            .replace("core::", "std::");
        for prefix in ["std::os::unix::io::", "crate::os::windows::io::"] {
            if let Some(name) = text.strip_prefix(prefix) {
                return format!("std::os::fd::{name}");
            }
        }
        text
    }

    /// The short form of a path, which tells the types of std with the same name apart.
    fn short(&self, path: &syn::Path) -> String {
        let full = self.path(path);
        let arguments = self.arguments(path);
        match (full.as_str(), &arguments[..]) {
            ("std::io::Result", [value]) => format!("io::Result<{value}>"),
            ("Result", [value, error]) if error == "io::Error" => format!("io::Result<{value}>"),
            _ => {
                let of_std = full.strip_prefix("std::").unwrap_or(&full);
                let keep = ["fs", "io"]
                    .iter()
                    .any(|module| of_std.starts_with(&format!("{module}::")));
                let name = if full.starts_with("std::fs::") {
                    full.clone()
                } else if keep {
                    of_std.to_owned()
                } else {
                    of_std.rsplit("::").next().unwrap().to_owned()
                };
                match arguments.is_empty() {
                    true => name,
                    false => format!("{name}<{}>", arguments.join(", ")),
                }
            }
        }
    }

    fn arguments(&self, path: &syn::Path) -> Vec<String> {
        let PathArguments::AngleBracketed(arguments) = &path.segments.last().unwrap().arguments
        else {
            return Vec::new();
        };
        let types = arguments.args.iter().filter_map(|argument| match argument {
            GenericArgument::Type(of) => Some(self.of(of)),
            GenericArgument::AssocType(of) => Some(self.of(&of.ty)),
            _ => None,
        });
        types.collect()
    }

    fn bound(&self, bound: &TypeParamBound) -> Option<String> {
        match bound {
            TypeParamBound::Trait(bound) => Some(self.short(&bound.path)),
            _ => None,
        }
    }

    fn bounds<'a>(&self, bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> String {
        let bounds: Vec<String> = bounds
            .into_iter()
            .filter_map(|bound| self.bound(bound))
            .collect();
        format!("impl {}", bounds.join(" + "))
    }

    /// A type, with parameters of the function in place of their names.
    pub(crate) fn of(&self, of: &Type) -> String {
        match of {
            Type::Path(path) => self.short(&path.path),
            Type::Reference(reference) => {
                let mutable = if reference.mutability.is_some() {
                    "mut "
                } else {
                    ""
                };
                format!("&{mutable}{}", self.of(&reference.elem))
            }
            Type::ImplTrait(of) => self.bounds(&of.bounds),
            Type::Slice(slice) => format!("[{}]", self.of(&slice.elem)),
            Type::Tuple(tuple) if tuple.elems.is_empty() => "()".to_owned(),
            other => other.to_token_stream().to_string(),
        }
    }

    pub(crate) fn implemented(&self, path: &syn::Path) -> String {
        self.short(path)
    }
}

/// The parameters of the function that stand for a type, and what they are bound to.
fn parameters(names: &Names, signature: &Signature) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for parameter in &signature.generics.params {
        if let GenericParam::Type(parameter) = parameter {
            found.insert(parameter.ident.to_string(), names.bounds(&parameter.bounds));
        }
    }
    for predicate in signature
        .generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates)
    {
        if let WherePredicate::Type(predicate) = predicate {
            let parameter = predicate.bounded_ty.to_token_stream().to_string();
            found.insert(parameter, names.bounds(&predicate.bounds));
        }
    }
    found
}

/// The signature, and whether it says `impl Future` for `async`.
pub(crate) fn normal(names: &Names, signature: &Signature) -> (String, bool) {
    let parameters = parameters(names, signature);
    let of = |of: &Type| {
        let text = names.of(of);
        parameters.get(&text).cloned().unwrap_or(text)
    };
    let arguments = signature.inputs.iter().map(|argument| match argument {
        FnArg::Receiver(receiver) => match (&receiver.reference, receiver.mutability) {
            (None, _) => "self",
            (Some(_), None) => "&self",
            (Some(_), Some(_)) => "&mut self",
        }
        .to_owned(),
        FnArg::Typed(argument) => of(&argument.ty),
    });
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let output = match &signature.output {
        ReturnType::Default => "()".to_owned(),
        ReturnType::Type(_, output) => of(output),
    };
    let future = match &signature.output {
        ReturnType::Type(_, output) => awaited(names, output),
        ReturnType::Default => None,
    };
    let start = match (signature.unsafety, signature.asyncness, &future) {
        (Some(_), _, _) => "unsafe ",
        (None, None, None) => "",
        _ => "async ",
    };
    let shown = future.clone().unwrap_or(output);
    (format!("{start}({arguments}) -> {shown}"), future.is_some())
}

/// What a type that says `impl Future` yields.
fn awaited(names: &Names, output: &Type) -> Option<String> {
    let Type::ImplTrait(output) = output else {
        return None;
    };
    let future = output.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) if bound.path.segments.last()?.ident == "Future" => {
            Some(bound)
        }
        _ => None,
    });
    names.arguments(&future?.path).pop()
}
