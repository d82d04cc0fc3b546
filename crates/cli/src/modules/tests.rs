use super::*;
use crate::config::ModuleRule;
use base64::Engine as _;

fn project(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }
    directory
}

fn input(root: &Path, main: &str) -> BuildInput {
    let main = root.join(main);
    BuildInput {
        root: root.to_path_buf(),
        base_dir: main.parent().expect("a parent").to_path_buf(),
        main,
        no_bundle: true,
        find_additional_modules: true,
        rules: vec![
            ModuleRule {
                kind: ModuleKind::Text,
                globs: vec!["**/*.txt".into(), "**/*.html".into()],
            },
            ModuleRule {
                kind: ModuleKind::Data,
                globs: vec!["**/*.bin".into()],
            },
            ModuleRule {
                kind: ModuleKind::Wasm,
                globs: vec!["**/*.wasm".into()],
            },
        ],
        ..BuildInput::default()
    }
}

#[test]
fn modules_by_rules() {
    let directory = project(&[
        ("dist/index.js", b"export default {}"),
        ("dist/chunks/a.mjs", b"export const a = 1"),
        ("dist/old.cjs", b"module.exports = 1"),
        ("dist/data.json", b"{\"a\":1}"),
        ("dist/page.html", b"<p>"),
        ("dist/x.bin", &[0, 255]),
        ("dist/m.wasm", b"\0asm"),
        ("dist/style.css", b"p {}"),
        ("dist/wrangler.json", b"{}"),
        ("dist/node_modules/p/index.js", b"x"),
        ("dist/.hidden/a.js", b"x"),
        ("dist/client/app.js", b"x"),
        ("other.js", b"x"),
    ]);
    let mut input = input(directory.path(), "dist/index.js");
    input.exclude = vec![directory.path().join("dist/client")];
    let built = collect(&input).expect("collects");
    assert_eq!(built.main_module, "index.js");
    let found: Vec<(&str, ModuleKind)> = built.modules.iter().map(|m| (m.name.as_str(), m.kind)).collect();
    assert_eq!(
        found,
        [
            ("index.js", ModuleKind::Esm),
            ("chunks/a.mjs", ModuleKind::Esm),
            ("data.json", ModuleKind::Json),
            ("m.wasm", ModuleKind::Wasm),
            ("old.cjs", ModuleKind::CommonJs),
            ("page.html", ModuleKind::Text),
            ("x.bin", ModuleKind::Data),
        ]
    );
    assert_eq!(built.inputs.len(), 7);
    input.find_additional_modules = false;
    assert_eq!(collect(&input).expect("collects").modules.len(), 1);
}

#[test]
fn errors_name_the_file() {
    let check = |files: &[(&str, &[u8])], main: &str, expected: &str| {
        let directory = project(files);
        let failure = collect(&input(directory.path(), main)).expect_err("fails");
        let text = failure.to_string();
        assert!(text.contains(expected), "{text}");
    };
    check(&[("a.txt", b"")], "gone.js", "gone.js: No such file");
    check(&[("index.js", b"\xff")], "index.js", "index.js: is not UTF-8 text");
    check(
        &[("index.js", b""), ("lib/d.json", b"{\n  1\n}")],
        "index.js",
        "lib/d.json:2:3: is not JSON",
    );
}

#[test]
fn the_size_has_a_limit() {
    let directory = project(&[("index.js", b"")]);
    let file = fs::File::create(directory.path().join("big.bin")).expect("made");
    // Sparse: takes no space.
    file.set_len(TOTAL_BYTES_MAX + 1).expect("sized");
    let text = collect(&input(directory.path(), "index.js"))
        .expect_err("fails")
        .to_string();
    assert!(text.contains("67108864 bytes"), "{text}");
    file.set_len(TOTAL_BYTES_MAX).expect("sized");
    assert_eq!(
        collect(&input(directory.path(), "index.js"))
            .expect("collects")
            .modules
            .len(),
        2
    );
}

#[test]
fn source_maps() {
    let map = r#"{"version":3,"sources":["../src/index.ts"],"sourceRoot":"","mappings":"","names":[]}"#;
    let inline = format!(
        "export {{}}\n//# sourceMappingURL=data:application/json;base64,{}\n",
        base64::engine::general_purpose::STANDARD.encode(map)
    );
    let directory = project(&[
        ("dist/index.js", b"export {}\n//# sourceMappingURL=index.js.map\n"),
        ("dist/index.js.map", map.as_bytes()),
        ("dist/inline.js", inline.as_bytes()),
        ("dist/none.js", b"const a = '//# sourceMappingURL=x.map'\nexport {}\n"),
        ("dist/gone.js", b"//# sourceMappingURL=gone.js.map"),
        ("dist/remote.js", b"//# sourceMappingURL=https://example.com/a.map"),
    ]);
    let built = collect(&input(directory.path(), "dist/index.js")).expect("collects");
    let sources = |name: &str| {
        let module = built.modules.iter().find(|m| m.name == name).expect("is there");
        module.source_map.as_ref().map(|map| {
            let map: serde_json::Value = serde_json::from_slice(map).expect("JSON");
            map["sources"][0].as_str().expect("a name").to_owned()
        })
    };
    let check = |name: &str, expected: Option<&str>| assert_eq!(sources(name).as_deref(), expected, "{name}");
    check("index.js", Some("src/index.ts"));
    check("inline.js", Some("src/index.ts"));
    check("none.js", None);
    check("gone.js", None);
    check("remote.js", None);
    assert_eq!(built.warnings.len(), 1);
    assert!(built.warnings[0].starts_with("dist/gone.js: its source map cannot be used: dist/gone.js.map"));
    assert!(built.inputs.contains(&directory.path().join("dist/index.js.map")));
}

#[test]
fn the_entry_is_below_the_base() {
    let directory = project(&[("src/index.js", b""), ("lib/a.js", b"")]);
    let mut input = input(directory.path(), "src/index.js");
    input.base_dir = directory.path().to_path_buf();
    let built = collect(&input).expect("collects");
    assert_eq!(built.main_module, "src/index.js");
    assert_eq!(built.modules.len(), 2);
    input.base_dir = directory.path().join("lib");
    assert!(
        collect(&input)
            .expect_err("fails")
            .to_string()
            .contains("outside of \"base_dir\" lib")
    );
}
