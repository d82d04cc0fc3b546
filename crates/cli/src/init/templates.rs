//! The files of the templates, taken from `examples/` when this is compiled.

/// An application to begin from.
#[derive(Debug, Clone, Copy)]
pub struct Template {
    /// Its name, and that of its directory in `examples/`.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Whether `npm install` must run before the first start.
    pub needs_install: bool,
    /// Its files.
    pub files: &'static [TemplateFile],
}

/// A file of a template.
#[derive(Debug, Clone, Copy)]
pub struct TemplateFile {
    /// Relative to the project's directory, with `/`.
    pub path: &'static str,
    /// Its bytes.
    pub content: &'static [u8],
}

macro_rules! files {
    ($template:literal: $($path:literal),+ $(,)?) => {
        &[$(TemplateFile {
            path: $path,
            content: include_bytes!(concat!("../../../../examples/", $template, "/", $path)),
        }),+]
    };
}

/// The template of that name.
pub fn find(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}

pub(super) fn names() -> String {
    let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
    names.join(", ")
}

/// All templates, the simplest first.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "hello",
        about: "One TypeScript file and one variable",
        needs_install: false,
        files: files!["hello":
            ".gitignore",
            "README.md",
            "src/index.ts",
            "tsconfig.json",
            "worker-configuration.d.ts",
            "wrangler.jsonc",
        ],
    },
    Template {
        name: "hono",
        about: "Hono from npm: TSX, middleware, JSON, streaming, assets",
        needs_install: true,
        files: files!["hono":
            ".gitignore",
            "README.md",
            "package.json",
            "public/style.css",
            "src/index.tsx",
            "src/layout.tsx",
            "tsconfig.json",
            "worker-configuration.d.ts",
            "wrangler.jsonc",
        ],
    },
    Template {
        name: "guestbook",
        about: "A whole application: streamed pages, key-value store, forms, WebSocket, assets, schedule",
        needs_install: false,
        files: files!["guestbook":
            ".gitignore",
            "README.md",
            "package.json",
            "public/_headers",
            "public/client.js",
            "public/logo.svg",
            "public/style.css",
            "src/book.ts",
            "src/draft.ts",
            "src/echo.ts",
            "src/index.ts",
            "src/page.ts",
            "tsconfig.json",
            "vendor/hono/LICENSE",
            "vendor/hono/dist/compose.js",
            "vendor/hono/dist/context.js",
            "vendor/hono/dist/helper/html/index.js",
            "vendor/hono/dist/helper/route/index.js",
            "vendor/hono/dist/helper/streaming/index.js",
            "vendor/hono/dist/helper/streaming/sse.js",
            "vendor/hono/dist/helper/streaming/stream.js",
            "vendor/hono/dist/helper/streaming/text.js",
            "vendor/hono/dist/helper/streaming/utils.js",
            "vendor/hono/dist/hono-base.js",
            "vendor/hono/dist/hono.js",
            "vendor/hono/dist/http-exception.js",
            "vendor/hono/dist/index.js",
            "vendor/hono/dist/request.js",
            "vendor/hono/dist/request/constants.js",
            "vendor/hono/dist/router.js",
            "vendor/hono/dist/router/reg-exp-router/matcher.js",
            "vendor/hono/dist/router/reg-exp-router/node.js",
            "vendor/hono/dist/router/reg-exp-router/router.js",
            "vendor/hono/dist/router/reg-exp-router/trie.js",
            "vendor/hono/dist/router/smart-router/router.js",
            "vendor/hono/dist/router/trie-router/index.js",
            "vendor/hono/dist/router/trie-router/node.js",
            "vendor/hono/dist/router/trie-router/router.js",
            "vendor/hono/dist/router/utils.js",
            "vendor/hono/dist/utils/body.js",
            "vendor/hono/dist/utils/buffer.js",
            "vendor/hono/dist/utils/constants.js",
            "vendor/hono/dist/utils/crypto.js",
            "vendor/hono/dist/utils/html.js",
            "vendor/hono/dist/utils/mount.js",
            "vendor/hono/dist/utils/stream.js",
            "vendor/hono/dist/utils/url.js",
            "vendor/hono/package.json",
            "worker-configuration.d.ts",
            "wrangler.jsonc",
        ],
    },
];
