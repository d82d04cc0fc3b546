//! New projects: what is written, and that nothing is overwritten.

use super::*;
use crate::config::{self, LoadOptions, LocalFiles};
use std::collections::BTreeSet;
use std::fs;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Every file below a directory, relative to it, without what tools leave there.
fn listing(directory: &Path) -> BTreeSet<String> {
    fn walk(at: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "node_modules" | ".wrangler" | ".atoll") {
                    walk(&path, root, found);
                }
            } else if !matches!(name.as_str(), "package-lock.json" | ".dev.vars") {
                found.insert(path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(directory, directory, &mut found);
    found
}

#[test]
fn the_templates_are_all_of_the_examples() {
    for template in TEMPLATES {
        let embedded: BTreeSet<String> = template.files.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(embedded, listing(&examples().join(template.name)), "{}", template.name);
    }
}

#[test]
fn a_named_project() {
    for template in TEMPLATES {
        let home = tempfile::tempdir().unwrap();
        let created = create(home.path(), Some("my-app"), template.name).unwrap();
        assert_eq!(created.directory, home.path().join("my-app"));
        assert_eq!(
            listing(&created.directory),
            created.files.iter().map(|file| (*file).to_owned()).collect()
        );
        // The commands to type next, and nothing to install where nothing is needed.
        let install: &[&str] = if template.needs_install { &["npm install"] } else { &[] };
        assert_eq!(created.next, [&["cd my-app"], install, &["atoll dev"]].concat());
        // Only the name differs from the example.
        for file in template.files {
            let written = fs::read_to_string(created.directory.join(file.path)).unwrap();
            let original = fs::read_to_string(examples().join(template.name).join(file.path)).unwrap();
            let name = format!("\"name\": \"{}\"", template.name);
            let expected = match file.path {
                "wrangler.jsonc" | "package.json" => original.replacen(&name, "\"name\": \"my-app\"", 1),
                _ => original,
            };
            assert_eq!(written, expected, "{}/{}", template.name, file.path);
        }
        let options = LoadOptions {
            cwd: created.directory.clone(),
            directory: ".".into(),
            ..LoadOptions::default()
        };
        let project = config::load(&options, &LocalFiles).unwrap();
        assert_eq!(project.name, "my-app");
        assert_eq!(project.warnings, []);
    }
}

#[test]
fn a_project_in_the_directory_itself() {
    let check = |directory: &str, name: &str| {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(directory);
        fs::create_dir(&directory).unwrap();
        let created = create(&directory, None, "hello").unwrap();
        assert_eq!(
            (created.name.as_str(), created.directory.as_path()),
            (name, directory.as_path())
        );
        assert_eq!(created.next, ["atoll dev"]);
    };
    check("shop", "shop");
    check("My Shop 2.0", "my-shop-2-0");
    // What cannot be a worker's name gives way to the template's.
    check("läden", "hello");
    check("-x", "hello");
}

#[test]
fn nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("app/src")).unwrap();
    fs::write(home.path().join("app/src/index.ts"), "mine").unwrap();
    let error = create(home.path(), Some("app"), "hello").unwrap_err();
    let message = error.to_string();
    assert!(message.contains("has src/index.ts already"), "{message}");
    assert_eq!(
        listing(&home.path().join("app")),
        BTreeSet::from(["src/index.ts".to_owned()])
    );
    assert_eq!(
        fs::read_to_string(home.path().join("app/src/index.ts")).unwrap(),
        "mine"
    );
    // A directory with other things in it is fine.
    fs::remove_file(home.path().join("app/src/index.ts")).unwrap();
    fs::write(home.path().join("app/notes.txt"), "mine").unwrap();
    create(home.path(), Some("app"), "hello").unwrap();
    assert_eq!(fs::read_to_string(home.path().join("app/notes.txt")).unwrap(), "mine");
}

#[test]
fn what_cannot_be_made() {
    let check = |name: &str, template: &str, expected: &str| {
        let home = tempfile::tempdir().unwrap();
        let message = create(home.path(), Some(name), template).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "{name}");
    };
    check(
        "app",
        "nextjs",
        "there is no template \"nextjs\"; there are hello, hono, guestbook",
    );
    check("My App", "hello", "\"My App\" cannot be a worker's name");
    check("../up", "hello", "cannot be a worker's name");
    check("-x", "hello", "cannot be a worker's name");
    check("", "hello", "cannot be a worker's name");
    check(&"x".repeat(64), "hello", "at most 63 characters");
}

#[test]
fn what_is_told() {
    let home = tempfile::tempdir().unwrap();
    let created = create(home.path(), Some("book"), "guestbook").unwrap();
    let summary = created.summary();
    assert!(summary.ends_with("\nNext:\n  cd book\n  atoll dev\n"), "{summary}");
    assert!(
        summary.contains("  src/index.ts\n") && !summary.contains("vendor/"),
        "{summary}"
    );
    let json: serde_json::Value = serde_json::from_str(&created.json()).unwrap();
    assert_eq!(json["name"], "book");
    assert_eq!(json["template"], "guestbook");
    assert_eq!(json["next"], serde_json::json!(["cd book", "atoll dev"]));
    assert_eq!(
        json["files"].as_array().unwrap().len(),
        find("guestbook").unwrap().files.len()
    );
}

/// What the first command of the README needs: templates that ask for no `npm install` bundle without Node.js.
#[cfg(feature = "bundler")]
#[tokio::test]
async fn templates_without_an_install_bundle_as_they_are() {
    use crate::bundle::{BuildInput, build, bundler};
    for (template, word) in [("hello", "Response.json"), ("guestbook", "class Hono")] {
        let home = tempfile::tempdir().unwrap();
        let created = create(home.path(), Some("app"), template).unwrap();
        let options = LoadOptions {
            cwd: created.directory,
            directory: ".".into(),
            ..LoadOptions::default()
        };
        let project = config::load(&options, &LocalFiles).unwrap();
        let built = build(&BuildInput::of(&project, &[]).unwrap(), &*bundler())
            .await
            .unwrap();
        assert_eq!(built.warnings, Vec::<String>::new());
        assert_eq!(built.modules.len(), 1);
        let code = std::str::from_utf8(&built.modules[0].content).unwrap();
        assert!(code.contains(word), "{template}: {code}");
        assert!(!find(template).unwrap().needs_install);
    }
}
