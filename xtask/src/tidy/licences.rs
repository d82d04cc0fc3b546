//! Licences of everything we are built from: each SPDX expression must be satisfiable with the allowed ones alone.

use super::Finding;
use super::metadata::Graph;

/// Licences that ask for no more than notices (and, for MPL-2.0, the changed files themselves).
const ALLOWED: [&str; 18] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "CDLA-Permissive-2.0",
    "Unlicense",
    "OpenSSL",
];

/// Checks every package of the graph.
pub fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &graph.packages {
        let place = format!("{} {}", package.name, package.version);
        match &package.license {
            None => findings.push(Finding::new(place, "names no licence")),
            Some(expression) => match satisfiable(expression) {
                Some(true) => {}
                Some(false) => findings.push(Finding::new(place, format!("licence \"{expression}\" is not allowed"))),
                None => findings.push(Finding::new(
                    place,
                    format!("licence \"{expression}\" is no SPDX expression"),
                )),
            },
        }
    }
    findings
}

/// Whether one way to take the expression needs allowed licences only; `None` if it cannot be read.
fn satisfiable(expression: &str) -> Option<bool> {
    // Older manifests write `A/B` for `A OR B`.
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    let value = any(&words, &mut at)?;
    (at == words.len()).then_some(value)
}

fn any(words: &[&str], at: &mut usize) -> Option<bool> {
    let mut value = all(words, at)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        value |= all(words, at)?;
    }
    Some(value)
}

fn all(words: &[&str], at: &mut usize) -> Option<bool> {
    let mut value = one(words, at)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        value &= one(words, at)?;
    }
    Some(value)
}

fn one(words: &[&str], at: &mut usize) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    match word {
        "(" => {
            let value = any(words, at)?;
            let closed = words.get(*at) == Some(&")");
            *at += 1;
            closed.then_some(value)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        licence if words.get(*at) == Some(&"WITH") => {
            let exception = words.get(*at + 1)?;
            *at += 2;
            Some(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()))
        }
        licence => Some(ALLOWED.contains(&licence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let check = |expression: &str, expected: Option<bool>| {
            assert_eq!(satisfiable(expression), expected, "{expression}");
        };
        check("MIT", Some(true));
        check("MIT/Apache-2.0", Some(true));
        check("GPL-3.0-only", Some(false));
        check("Apache-2.0 OR GPL-2.0-only", Some(true));
        check("Apache-2.0 AND GPL-2.0-only", Some(false));
        check("(MIT OR GPL-2.0) AND Unicode-3.0", Some(true));
        check("ISC AND (Apache-2.0 OR ISC) AND LGPL-2.1-or-later", Some(false));
        check("Apache-2.0 WITH LLVM-exception", Some(true));
        check("Apache-2.0 WITH Other-exception", Some(false));
        check("MIT OR", None);
        check("(MIT", None);
        check("MIT Apache-2.0", None);
        check("", None);
    }
}
