//! Manifests: every package takes edition, licence and lints from the workspace, and versions from its one table.

use super::Finding;
use toml::Value;

/// Checks one `Cargo.toml`.
pub fn check(name: &str, text: &str) -> Vec<Finding> {
    let manifest: toml::Table = match toml::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(name, format!("cannot be read: {error}"))],
    };
    let Some(package) = manifest.get("package").and_then(Value::as_table) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for key in ["version", "edition", "license", "rust-version"] {
        if !inherits(package.get(key)) {
            findings.push(Finding::new(name, format!("`{key}` does not come from the workspace")));
        }
    }
    if !inherits(manifest.get("lints")) {
        findings.push(Finding::new(name, "the lints do not come from the workspace"));
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (dependency, value) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
            if !inherits(Some(value)) {
                findings.push(Finding::new(
                    name,
                    format!("the version of {dependency} does not come from the workspace"),
                ));
            }
        }
    }
    findings
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let package = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\nlicense.workspace = true\nrust-version.workspace = true\n";
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<String> = check("Cargo.toml", text)
                .into_iter()
                .map(|finding| finding.message)
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("[workspace]\nmembers = []\n", &[]);
        check(
            &format!("{package}[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n"),
            &[],
        );
        check(package, &["the lints do not come from the workspace"]);
        check(
            &format!("{package}[lints]\nworkspace = true\n[dev-dependencies]\nserde = \"1\"\n"),
            &["the version of serde does not come from the workspace"],
        );
    }
}
