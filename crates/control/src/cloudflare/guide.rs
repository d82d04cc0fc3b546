//! The guide is held against the tables.

use super::bindings::{BUILT, unbuilt_types};
use super::unbuilt::{EMPTY, PARTS};
use super::{ENDPOINTS, Size};
use std::fmt::Write;

const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/wrangler.md"));
const BEGIN: &str = "<!-- tables -->\n";

fn tables() -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Into a string it cannot fail.
        let _ = writeln!(text, "{line}");
    };
    line(format_args!(
        "\n### Endpoints\n\nBelow `/client/v4`.\n\n| Method | Path |\n|---|---|"
    ));
    for endpoint in ENDPOINTS {
        let note = match endpoint.size {
            Size::Small => "",
            Size::Large => " (body to 64 MiB)",
            Size::Upload => " (body to 128 MiB)",
        };
        line(format_args!("| {} | `{}`{note} |", endpoint.method, endpoint.path));
    }
    line(format_args!(
        "\n### Lists that are empty\n\nBelow `/accounts/{{account}}/`.\n"
    ));
    for (path, _) in EMPTY {
        line(format_args!("- `{path}`"));
    }
    line(format_args!(
        "\n### Parts that are not built\n\nBelow `/accounts/{{account}}/`; error 10501.\n\n| Path | What |\n|---|---|"
    ));
    for (path, what) in PARTS {
        line(format_args!("| `{}` | {what} |", path.trim_end_matches('/')));
    }
    let names = |types: &[&str]| {
        let types: Vec<String> = types.iter().map(|name| format!("`{name}`")).collect();
        types.join(", ")
    };
    let unbuilt: Vec<&str> = unbuilt_types().collect();
    line(format_args!(
        "\n### Types of bindings\n\nThat work: {}.\n",
        names(BUILT)
    ));
    line(format_args!(
        "That are carried (the worker starts, the use of them throws): {}.",
        names(&unbuilt)
    ));
    text
}

#[test]
fn the_guide_has_these_tables() {
    let at = GUIDE.find(BEGIN).expect("the guide has a place for the tables") + BEGIN.len();
    let (found, expected) = (&GUIDE[at..], tables());
    // `ATOLL_REFERENCE=write` writes them.
    if found != expected && std::env::var_os("ATOLL_REFERENCE").is_some_and(|value| value == "write") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/wrangler.md");
        std::fs::write(path, format!("{}{expected}", &GUIDE[..at])).unwrap();
        return;
    }
    assert_eq!(found, expected, "run this test with ATOLL_REFERENCE=write");
}
