//! What other crates' extensions bring and no script here uses: it stays out of isolates, where each op is a function with its
//! name, a template and an entry in two tables, some 300 bytes, whether anybody calls it or not.
//!
//! Invariant: the startup snapshot and the isolates made from it have the same ops. The lists are constants for that reason, and
//! making a snapshot fails if a script names what they leave out ([`check`]).

use deno_core::{Extension, OpDecl};
use std::sync::OnceLock;

/// Classes whose scripts are not loaded, with their methods: each of those is an op. `Console` is the class behind `deno_web`'s
/// own console, whose script asks for it and needs it when such a console prints; ours (`js/22_console.js`) is another.
const CLASSES: [&str; 11] = [
    "CSSRule",
    "CSSStyleSheet",
    "Console",
    "DOMMatrix",
    "DOMMatrixReadOnly",
    "DOMPoint",
    "DOMPointReadOnly",
    "DOMQuad",
    "DOMRect",
    "DOMRectReadOnly",
    "ImageData",
];

/// Ops that no script names.
const OPS: [&str; 15] = [
    "op_base64_decode_into",
    "op_base64url_decode",
    "op_base64url_decode_into",
    "op_base64url_encode_from_buffer",
    "op_geometry_get_enable_css_parser_features",
    "op_geometry_matrix_set_matrix_value",
    "op_geometry_matrix_to_string",
    "op_lock_manager_await_lock",
    "op_lock_manager_await_steal",
    "op_lock_manager_cancel",
    "op_lock_manager_is_stolen",
    "op_lock_manager_query",
    "op_lock_manager_release",
    "op_lock_manager_request",
    "op_preview_entries",
];

/// A table of ops that lives as long as the process: isolates borrow it instead of each having a copy.
struct Table(&'static [OpDecl]);

// SAFETY: it is never written to, and holds functions, names and descriptions that are static; `deno_core` gives out the same
// as constants.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// `deno_web` without what nobody uses.
pub(crate) fn without_unused(mut web: Extension) -> Extension {
    static KEPT: OnceLock<Table> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let kept: Vec<OpDecl> = web.ops.iter().filter(|op| !OPS.contains(&op.name)).copied().collect();
        Table(kept.leak())
    });
    web.ops = kept.0.into();
    web.objects = web
        .objects
        .iter()
        .filter(|class| !CLASSES.contains(&class.name.0))
        .copied()
        .collect();
    web
}

/// Fails if `text`, the script `name`, names an op or a class that is left out.
pub(crate) fn check(name: &str, text: &str) -> Result<(), String> {
    for word in words(text) {
        let missing = OPS.contains(&word) || (CLASSES.contains(&word) && word != "Console");
        if missing {
            return Err(format!("{name} uses {word}, which crates/js/src/unused.rs leaves out"));
        }
    }
    Ok(())
}

/// All that could be an identifier in a script.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$')
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_there_to_be_left_out() {
        let blobs: std::sync::Arc<dyn deno_web::BlobStoreTrait> = std::sync::Arc::new(deno_web::BlobStore::default());
        let channel = deno_web::InMemoryBroadcastChannel::default();
        let web = deno_web::deno_web::init(blobs, None, false, channel);
        for name in OPS {
            assert!(web.ops.iter().any(|op| op.name == name), "deno_web has no op {name}");
        }
        for name in CLASSES {
            assert!(
                web.objects.iter().any(|class| class.name.0 == name),
                "deno_web has no class {name}"
            );
        }
        let ops = web.ops.len();
        let kept = without_unused(web);
        assert_eq!(kept.ops.len(), ops - OPS.len());
        assert!(kept.objects.is_empty());
    }

    #[test]
    fn a_script_that_names_what_is_left_out_is_refused() {
        assert_eq!(check("a.js", "const { op_url_parse } = core.ops;"), Ok(()));
        assert!(check("a.js", "const { op_preview_entries } = core.ops;").is_err());
        assert!(check("a.js", "new ImageData(1, 1)").is_err());
        // A longer word is another one.
        assert_eq!(check("a.js", "op_preview_entries_of; ImageDataOf"), Ok(()));
    }
}
