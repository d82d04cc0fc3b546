//! Real bundles of small projects on disk.

use super::*;
use atoll_model::ModuleKind;
use std::fs;

struct Fixture {
    directory: tempfile::TempDir,
    input: BuildInput,
}

fn fixture(files: &[(&str, &str)], main: &str) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    // Temporary directories may be behind a link; the bundler names real paths.
    let root = directory.path().canonicalize().expect("is there");
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, content).expect("written");
    }
    let main = root.join(main);
    let rule = |kind, globs: &[&str]| ModuleRule {
        kind,
        globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
    };
    let input = BuildInput {
        base_dir: main.parent().expect("a parent").to_path_buf(),
        root,
        main,
        rules: vec![
            rule(ModuleKind::Text, &["**/*.txt", "**/*.html", "**/*.sql"]),
            rule(ModuleKind::Data, &["**/*.bin"]),
            rule(ModuleKind::Wasm, &["**/*.wasm", "**/*.wasm?module"]),
        ],
        keep_names: true,
        development: true,
        ..BuildInput::default()
    };
    Fixture { directory, input }
}

impl Fixture {
    async fn build(&self) -> Built {
        match build(&self.input, &*bundler()).await {
            Ok(built) => built,
            Err(failure) => panic!("{failure}"),
        }
    }

    async fn fail(&self) -> BuildFailure {
        build(&self.input, &*bundler()).await.expect_err("does not build")
    }
}

fn text<'a>(built: &'a Built, name: &str) -> &'a str {
    let module = built.modules.iter().find(|module| module.name == name);
    let module = module.unwrap_or_else(|| panic!("no {name} among {:?}", names(built)));
    std::str::from_utf8(&module.content).expect("UTF-8")
}

fn names(built: &Built) -> Vec<&str> {
    built.modules.iter().map(|module| module.name.as_str()).collect()
}

/// Builds one project and looks for texts that must (or with `!` in front must not) be in the entry.
async fn check(files: &[(&str, &str)], expected: &[&str]) {
    check_with(files, |_| {}, expected).await;
}

async fn check_with(files: &[(&str, &str)], change: impl FnOnce(&mut BuildInput), expected: &[&str]) {
    let mut fixture = fixture(files, files[0].0);
    change(&mut fixture.input);
    let built = fixture.build().await;
    let code = text(&built, &built.main_module);
    for expected in expected {
        match expected.strip_prefix('!') {
            Some(absent) => assert!(!code.contains(absent), "{absent} is in\n{code}"),
            None => assert!(code.contains(expected), "{expected} is not in\n{code}"),
        }
    }
}

#[tokio::test]
async fn typescript() {
    let files = [
        (
            "src/index.ts",
            "import { greet, type Options } from './greet';\n\
             import config from './config.json';\n\
             enum Level { Low = 1, High = 2 }\n\
             interface Env { NAME: string }\n\
             export default { fetch(request: Request, env: Env): Response {\n\
               const options: Options = { loud: true };\n\
               return new Response(greet(env.NAME as string, options) + Level.High + config.port);\n\
             } } satisfies ExportedHandler<Env>;\n",
        ),
        (
            "src/greet.ts",
            "export interface Options { loud: boolean }\n\
             export function greet(name: string, options: Options): string { return name + '!' }\n\
             export const UNUSED_MARKER = 'x';\n",
        ),
        ("src/config.json", "{ \"port\": 4711, \"other\": true }"),
    ];
    check(
        &files,
        &[
            "function greet",
            "4711",
            "!interface",
            "!UNUSED_MARKER",
            "export {",
            "as default",
        ],
    )
    .await;
    let fixture = fixture(&files, "src/index.ts");
    let built = fixture.build().await;
    assert_eq!(built.main_module, "index.js");
    assert_eq!(names(&built), ["index.js"]);
    assert_eq!(built.warnings, Vec::<String>::new());
    for (name, _) in files {
        assert!(built.inputs.contains(&fixture.input.root.join(name)), "{name}");
    }
    let map: serde_json::Value =
        serde_json::from_slice(built.modules[0].source_map.as_ref().expect("a map")).expect("JSON");
    let sources: Vec<&str> = map["sources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|source| source.as_str().expect("a name"))
        .collect();
    assert!(
        sources.contains(&"src/index.ts") && sources.contains(&"src/greet.ts"),
        "{sources:?}"
    );
    drop(fixture.directory);
}

#[tokio::test]
async fn jsx() {
    let page = "export const page = <p class=\"x\"><>hello</></p>;\nexport default { fetch() { return page } }\n";
    let hono = [
        (
            "node_modules/hono/package.json",
            "{\"name\":\"hono\",\"exports\":{\"./jsx/jsx-runtime\":\"./jsx.js\"}}",
        ),
        (
            "node_modules/hono/jsx.js",
            "export const jsx = () => 'made'; export const Fragment = 'f'; export const jsxs = jsx",
        ),
    ];
    let automatic = [
        ("src/index.tsx", page),
        (
            "tsconfig.json",
            "{\"compilerOptions\":{\"jsx\":\"react-jsx\",\"jsxImportSource\":\"hono/jsx\"}}",
        ),
        hono[0],
        hono[1],
    ];
    check(&automatic, &["made", "jsx(\"p\"", "!<p"]).await;
    let classic = [
        ("src/index.jsx", page),
        (
            "tsconfig.json",
            "{\"compilerOptions\":{\"jsx\":\"react\",\"jsxFactory\":\"h\",\"jsxFragmentFactory\":\"F\"},\"include\":[\"src/**/*.ts\"]}",
        ),
    ];
    check(&classic, &["h(\"p\"", "h(F, null", "!<p"]).await;
    let configured = |input: &mut BuildInput| input.jsx = Some(("make".into(), "Frag".into()));
    check_with(&[("index.js", page)], configured, &["make(\"p\"", "make(Frag"]).await;
    let pragma = format!("/** @jsx h */\n/** @jsxFrag F */\n/** @jsxRuntime classic */\n{page}");
    check(&[("index.tsx", &pragma)], &["h(\"p\""]).await;
    let named = [
        ("index.tsx", page),
        (
            "deno/tsconfig.other.json",
            "{\"compilerOptions\":{\"jsx\":\"react\",\"jsxFactory\":\"other\"}}",
        ),
    ];
    let other = |input: &mut BuildInput| input.tsconfig = Some(input.root.join("deno/tsconfig.other.json"));
    check_with(&named, other, &["other(\"p\""]).await;
}

#[tokio::test]
async fn packages_and_conditions() {
    let package = "{\"name\":\"pkg\",\"exports\":{\".\":{\"node\":\"./node.js\",\"workerd\":\"./workerd.js\",\"worker\":\"./worker.js\",\
                   \"browser\":\"./browser.js\",\"default\":\"./default.js\"},\
                   \"./w\":{\"worker\":\"./worker.js\",\"import\":\"./default.js\"},\
                   \"./b\":{\"node\":\"./node.js\",\"browser\":\"./browser.js\"},\
                   \"./i\":{\"require\":\"./node.js\",\"import\":\"./default.js\"},\
                   \"./m\":{\"module\":\"./node.js\",\"default\":\"./default.js\"}}}";
    let files = [
        (
            "index.ts",
            "import a from 'pkg'; import b from 'pkg/w'; import c from 'pkg/b'; import d from 'pkg/i'; import e from 'pkg/m';\n\
             import f from 'fields'; export default [a, b, c, d, e, f];",
        ),
        ("node_modules/pkg/package.json", package),
        ("node_modules/pkg/node.js", "export default 'is-node'"),
        ("node_modules/pkg/workerd.js", "export default 'is-workerd'"),
        ("node_modules/pkg/worker.js", "export default 'is-worker'"),
        ("node_modules/pkg/browser.js", "export default 'is-browser'"),
        ("node_modules/pkg/default.js", "export default 'is-default'"),
        (
            "node_modules/fields/package.json",
            "{\"main\":\"./main.js\",\"module\":\"./module.js\"}",
        ),
        ("node_modules/fields/main.js", "module.exports = 'is-main'"),
        ("node_modules/fields/module.js", "export default 'is-module'"),
    ];
    let expected = [
        "is-workerd",
        "is-worker\"",
        "is-browser",
        "is-default",
        "is-module",
        "!is-node",
        "!is-main",
    ];
    check(&files, &expected).await;
}

#[tokio::test]
async fn commonjs_packages() {
    let files = [
        (
            "index.ts",
            "import legacy, { named } from 'legacy'; export default { fetch() { return legacy(named) } }",
        ),
        (
            "node_modules/legacy/package.json",
            "{\"name\":\"legacy\",\"main\":\"index.js\"}",
        ),
        (
            "node_modules/legacy/index.js",
            "const { Readable } = require('node:stream'); const events = require('events');\n\
             const part = require('./part'); const sql = require('./q.sql');\n\
             module.exports = (x) => [x, part, Readable, events, sql]; module.exports.named = 1;",
        ),
        (
            "node_modules/legacy/part.js",
            "exports.part = 'the-part'; exports.env = process.env.NODE_ENV",
        ),
        ("node_modules/legacy/q.sql", "select 1"),
    ];
    let compat = |input: &mut BuildInput| input.node_compat = true;
    let expected = [
        "the-part",
        "from \"node:stream\"",
        "from \"node:events\"",
        "exports.env = \"development\"",
        "-q.sql\"",
        "!__require(",
    ];
    check_with(&files, compat, &expected).await;
}

#[tokio::test]
async fn platform_modules() {
    let files = [(
        "index.ts",
        "import { env } from 'cloudflare:workers'; import { AsyncLocalStorage } from 'node:async_hooks';\n\
         import { Buffer } from 'buffer';\n\
         export default { fetch() { return [env, AsyncLocalStorage, Buffer, import('cloudflare:sockets')] } }",
    )];
    let compat = |input: &mut BuildInput| input.node_compat = true;
    let expected = [
        "from \"cloudflare:workers\"",
        "from \"node:async_hooks\"",
        "from \"node:buffer\"",
        "import(\"cloudflare:sockets\")",
    ];
    check_with(&files, compat, &expected).await;
    // Without the flag a package of the name counts, and a missing one is said.
    let mut with_package = files.to_vec();
    with_package.push(("node_modules/buffer/package.json", "{\"main\":\"b.js\"}"));
    with_package.push(("node_modules/buffer/b.js", "exports.Buffer = 'the-package'"));
    check(&with_package, &["the-package", "!node:buffer"]).await;
    let fixture = fixture(&files, "index.ts");
    let built = fixture.build().await;
    assert_eq!(built.warnings.len(), 1, "{:?}", built.warnings);
    assert!(
        built.warnings[0].contains("index.ts imports \"buffer\""),
        "{:?}",
        built.warnings
    );
}

#[tokio::test]
async fn define_and_minify() {
    let files = [(
        "index.ts",
        "declare const VERSION: string;\n\
         export class LongClassName {}\n\
         export default { fetch() {\n\
           if (process.env.NODE_ENV === 'production') return 'is-production';\n\
           return [VERSION, navigator.userAgent, process.env.NODE_ENV, LongClassName.name];\n\
         } };",
    )];
    let define = |input: &mut BuildInput| input.define = vec![("VERSION".into(), "\"1.2.3\"".into())];
    let expected = ["\"1.2.3\"", "\"Cloudflare-Workers\"", "\"development\"", "\n"];
    check_with(&files, define, &expected).await;
    let production = |input: &mut BuildInput| input.development = false;
    check_with(&files, production, &["is-production", "!VERSION, navigator"]).await;
    let minify = |input: &mut BuildInput| {
        input.minify = true;
        input.define = vec![
            ("VERSION".into(), "1".into()),
            ("process.env.NODE_ENV".into(), "\"mine\"".into()),
        ];
    };
    check_with(
        &files,
        minify,
        &["Cloudflare-Workers", "mine", "LongClassName", "!    "],
    )
    .await;
}

#[tokio::test]
async fn alias() {
    let files = [
        (
            "src/index.ts",
            "import a from 'real'; import b from 'real/sub'; import c from 'fs'; import d from 'other';\n\
             export default [a, b, c, d]",
        ),
        ("shim/index.js", "export default 'is-shim'"),
        ("shim/sub.js", "export default 'is-sub'"),
        ("shim/fs.ts", "export default 'is-fs'"),
        ("node_modules/target/package.json", "{\"main\":\"t.js\"}"),
        ("node_modules/target/t.js", "export default 'is-target'"),
    ];
    let aliases = |input: &mut BuildInput| {
        let alias = [("real", "./shim"), ("fs", "./shim/fs.ts"), ("other", "target")];
        input.alias = alias.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    };
    check_with(&files, aliases, &["is-shim", "is-sub", "is-fs", "is-target"]).await;
    let mut fixture = fixture(&files, "src/index.ts");
    fixture.input.alias = vec![("real".into(), "./gone".into())];
    let failure = fixture.fail().await.to_string();
    assert!(failure.contains("\"real\" is an alias of"), "{failure}");
}

#[tokio::test]
async fn other_modules() {
    let files = [
        (
            "src/index.ts",
            "import text from './page.html'; import data from './x.bin'; import wasm from './m.wasm';\n\
             import wasm2 from './m.wasm?module'; import note from '../notes/a.md'; import packed from 'p/q.txt';\n\
             export default [text, data, wasm, wasm2, note, packed];",
        ),
        ("src/page.html", "<p>"),
        ("src/x.bin", "bytes"),
        ("src/m.wasm", "\0asm"),
        ("notes/a.md", "# note"),
        ("node_modules/p/package.json", "{\"exports\":{\"./*\":\"./files/*\"}}"),
        ("node_modules/p/files/q.txt", "packed"),
    ];
    let mut fixture = fixture(&files, "src/index.ts");
    let markdown = ModuleRule {
        kind: ModuleKind::Text,
        globs: vec!["**/*.md".into()],
    };
    fixture.input.rules.insert(0, markdown);
    let built = fixture.build().await;
    let code = text(&built, "index.js").to_owned();
    let kinds: Vec<(String, ModuleKind)> = built.modules[1..]
        .iter()
        .map(|module| {
            assert!(
                code.contains(&format!("\"./{}\"", module.name)),
                "{} in\n{code}",
                module.name
            );
            let (hash, name) = module.name.split_once('-').expect("a hash");
            assert_eq!(hash.len(), 40);
            (name.to_owned(), module.kind)
        })
        .collect();
    for expected in [
        ("page.html", ModuleKind::Text),
        ("x.bin", ModuleKind::Data),
        ("m.wasm", ModuleKind::Wasm),
        ("a.md", ModuleKind::Text),
        ("q.txt", ModuleKind::Text),
    ] {
        assert!(
            kinds.contains(&(expected.0.to_owned(), expected.1)),
            "{expected:?} in {kinds:?}"
        );
    }
    assert_eq!(kinds.len(), 5);
    assert!(built.inputs.contains(&fixture.input.root.join("src/page.html")));
    fixture.input.preserve_file_names = true;
    assert!(names(&fixture.build().await).contains(&"page.html"));
}

#[tokio::test]
async fn modern_syntax() {
    let files = [
        (
            "index.mts",
            "import data from './d.json' with { type: 'json' };\n\
             using held = { [Symbol.dispose]() {} };\n\
             const later = await Promise.resolve(data.a);\n\
             function sealed(target: unknown) { return target as any }\n\
             @sealed class Old { @sealed method() {} }\n\
             class Private { #x = 1; static { later } get x() { return this.#x } accessor y = 2 }\n\
             export default { fetch: () => [Old, Private, held, import.meta.url, /[\\p{L}--a]/v] };",
        ),
        ("d.json", "{\"a\": 1}"),
        (
            "tsconfig.json",
            "{\"compilerOptions\":{\"experimentalDecorators\":true}}",
        ),
    ];
    check(
        &files,
        &[
            "using held",
            "await Promise",
            "#x = 1",
            "/v",
            "!@sealed",
            "import.meta.url",
        ],
    )
    .await;
}

#[tokio::test]
async fn dynamic_import() {
    let files = [
        (
            "src/index.ts",
            "import { shared } from './shared'; export default { async fetch() { const m = await import('./lazy'); return m.lazy(shared) } }",
        ),
        (
            "src/lazy.ts",
            "import { shared } from './shared'; export const lazy = (x: number) => 'is-lazy' + shared + x",
        ),
        ("src/shared.ts", "export const shared = { v: Math.random() }"),
    ];
    let fixture = fixture(&files, "src/index.ts");
    let built = fixture.build().await;
    let code = text(&built, "index.js");
    assert!(built.modules.len() >= 2, "{:?}", names(&built));
    assert!(!code.contains("is-lazy") && code.contains("import(\"./lazy-"), "{code}");
    assert!(names(&built).iter().all(|name| !name.contains('/')));
    assert!(built.modules.iter().all(|module| module.source_map.is_some()));
}

#[tokio::test]
async fn additional_modules() {
    let files = [
        (
            "src/index.ts",
            "import en from './lang/en.mjs'; export default { fetch: (l: string) => [en, import(`./lang/${l}.mjs`)] }",
        ),
        ("src/lang/en.mjs", "export default 'is-en'"),
        ("src/lang/de.mjs", "export default 'is-de'"),
        ("src/lang/notes.txt", "notes"),
    ];
    let mut fixture = fixture(&files, "src/index.ts");
    fixture.input.find_additional_modules = true;
    let modules = ModuleRule {
        kind: ModuleKind::Esm,
        globs: vec!["**/*.mjs".into()],
    };
    fixture.input.rules.push(modules);
    let built = fixture.build().await;
    assert_eq!(
        names(&built),
        ["index.js", "lang/de.mjs", "lang/en.mjs", "lang/notes.txt"]
    );
    let code = text(&built, "index.js");
    assert!(
        code.contains("from \"./lang/en.mjs\"") && !code.contains("is-en"),
        "{code}"
    );
    fixture.input.base_dir = fixture.input.root.clone();
    let built = fixture.build().await;
    assert_eq!(
        names(&built),
        [
            "src/index.js",
            "src/lang/de.mjs",
            "src/lang/en.mjs",
            "src/lang/notes.txt"
        ]
    );
    let code = text(&built, "src/index.js");
    assert!(code.contains("from \"./lang/en.mjs\""), "{code}");
}

#[tokio::test]
async fn tsconfig_paths() {
    let files = [
        (
            "src/index.ts",
            "import { x } from '@lib/x'; import y from '~/y'; export default [x, y]",
        ),
        ("lib/x.ts", "export const x = 'is-x'"),
        ("src/y.ts", "export default 'is-y'"),
        (
            "tsconfig.json",
            "{ // comments are fine\n \"compilerOptions\": { \"baseUrl\": \".\", \"paths\": { \"@lib/*\": [\"lib/*\"], \"~/*\": [\"./src/*\"], }, } }",
        ),
    ];
    check(&files, &["is-x", "is-y"]).await;
}

#[tokio::test]
async fn errors_have_a_place() {
    struct Case {
        code: &'static str,
        message: &'static str,
        place: (u32, u32),
        frame: &'static str,
    }
    let check = async |case: Case| {
        let fixture = fixture(&[("src/index.ts", case.code)], "src/index.ts");
        let failure = fixture.fail().await;
        let error = &failure.errors[0];
        assert!(error.message.contains(case.message), "{failure:?}");
        assert_eq!(
            (error.file.as_str(), error.line, error.column),
            ("src/index.ts", case.place.0, case.place.1),
            "{failure:?}"
        );
        assert!(error.frame.contains(case.frame), "{}", error.frame);
        assert!(failure.inputs.contains(&fixture.input.main), "{failure:?}");
    };
    check(Case {
        code: "const a = 1;\nexport default { fetch( { };\n",
        message: "",
        place: (2, 28),
        frame: "export default { fetch( { };",
    })
    .await;
    check(Case {
        code: "const a = 1;\nimport { b } from './nope';\nexport default b;\n",
        message: "./nope",
        place: (2, 19),
        frame: "import { b } from './nope';",
    })
    .await;
    check(Case {
        code: "import { b } from 'no-such-package';\nexport default b;\n",
        message: "npm install",
        place: (1, 19),
        frame: "no-such-package",
    })
    .await;
    check(Case {
        code: "import t from './gone.txt';\nexport default t;\n",
        message: "./gone.txt",
        place: (1, 15),
        frame: "gone.txt",
    })
    .await;
}

#[tokio::test]
async fn what_may_be_missing() {
    let files = [
        (
            "index.ts",
            "import x from 'pkg'; export default { fetch() { return import('optional-a').catch(() => x) } }",
        ),
        ("node_modules/pkg/package.json", "{\"main\":\"i.js\"}"),
        (
            "node_modules/pkg/i.js",
            "try { module.exports = require('optional-b') } catch { module.exports = 'without' }",
        ),
    ];
    check(&files, &["import(\"optional-a\")", "without"]).await;
    let fixture = fixture(&files, "index.ts");
    let built = fixture.build().await;
    assert_eq!(built.warnings.len(), 1, "{:?}", built.warnings);
    assert!(built.warnings[0].contains("optional-a"), "{:?}", built.warnings);
}

#[tokio::test]
async fn a_missing_export_is_an_error() {
    let fixture = fixture(
        &[
            ("index.ts", "import { nope } from './a';\nexport default nope;\n"),
            ("a.ts", "export const yes = 1;"),
        ],
        "index.ts",
    );
    let failure = fixture.fail().await;
    assert!(failure.to_string().contains("nope"), "{failure}");
}

#[tokio::test]
async fn without_the_bundler() {
    let mut fixture = fixture(&[("index.ts", "export default {}")], "index.ts");
    let failure = build(&fixture.input, &Absent).await.expect_err("cannot");
    let text = failure.to_string();
    assert!(
        text.contains("index.ts needs to be bundled") && text.contains("no_bundle"),
        "{text}"
    );
    fixture.input.no_bundle = true;
    assert_eq!(
        build(&fixture.input, &Absent).await.expect("builds").main_module,
        "index.ts"
    );
}
