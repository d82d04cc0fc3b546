//! `html_handling`: which of the spellings of a page is the one that serves it.
//!
//! A page called `/x` is the file `/x.html` or the file `/x/index.html`. Each mode gives each of the two one canonical
//! path; every other spelling of that page is redirected there, unless another file already answers at that path.

use crate::Manifest;
use atoll_model::HtmlHandling;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The file, by its key in the manifest.
    Asset(String),
    /// The page is served at another path (not percent-encoded).
    Redirect(String),
    /// No file.
    NotFound,
}

/// How a request spells a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// `/x`
    Plain,
    /// `/x/`
    Slash,
    /// `/x.html`
    Html,
    /// `/x/index`
    Index,
    /// `/x/index.html`
    IndexHtml,
}

fn spelling(path: &str) -> (Spelling, &str) {
    if let Some(page) = path.strip_suffix("/index.html") {
        return (Spelling::IndexHtml, page);
    }
    if let Some(page) = path.strip_suffix("/index") {
        return (Spelling::Index, page);
    }
    if let Some(page) = path.strip_suffix('/') {
        return (Spelling::Slash, page);
    }
    match path.strip_suffix(".html") {
        // A file that is called just `.html` is no page.
        Some(page) if !page.ends_with('/') => (Spelling::Html, page),
        _ => (Spelling::Plain, path),
    }
}

/// The two files that a page may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PageFile {
    /// `/x.html`
    Named,
    /// `/x/index.html`
    Index,
}

impl PageFile {
    fn path(self, page: &str) -> String {
        match self {
            Self::Named => format!("{page}.html"),
            Self::Index => format!("{page}/index.html"),
        }
    }

    fn canonical(self, page: &str, mode: HtmlHandling) -> String {
        let slash = match mode {
            HtmlHandling::ForceTrailingSlash => true,
            HtmlHandling::DropTrailingSlash => page.is_empty(),
            HtmlHandling::AutoTrailingSlash | HtmlHandling::None => self == Self::Index,
        };
        if slash { format!("{page}/") } else { page.to_owned() }
    }

    /// Of two files with one canonical path, which does not get it.
    fn yields(self, page: &str, mode: HtmlHandling, manifest: &Manifest) -> bool {
        let rival = match (mode, self) {
            (HtmlHandling::ForceTrailingSlash, Self::Named) => Self::Index,
            (HtmlHandling::DropTrailingSlash, Self::Index) => Self::Named,
            _ => return false,
        };
        manifest.contains(&rival.path(page))
    }
}

/// Which asset `path` (decoded, slashes collapsed) asks for.
pub fn resolve(path: &str, mode: HtmlHandling, manifest: &Manifest) -> Resolution {
    let exact = manifest.contains(path);
    if mode == HtmlHandling::None {
        return if exact {
            Resolution::Asset(path.to_owned())
        } else {
            Resolution::NotFound
        };
    }
    let (spelling, page) = spelling(path);
    // Where no slash tells them apart, a directory that is called `index` keeps its own page.
    let spelling_is_own = spelling == Spelling::Index
        && mode == HtmlHandling::DropTrailingSlash
        && manifest.contains(&PageFile::Index.path(path));
    let (spelling, page) = if spelling_is_own {
        (Spelling::Plain, path)
    } else {
        (spelling, page)
    };
    if exact && matches!(spelling, Spelling::Plain | Spelling::Index) {
        return Resolution::Asset(path.to_owned());
    }
    if let Some(resolution) = resolve_page(path, page, spelling, mode, manifest) {
        return resolution;
    }
    // `/x/index` and `/x.html` may also be the names of pages themselves.
    if matches!(spelling, Spelling::Index | Spelling::IndexHtml | Spelling::Html)
        && let Some(resolution) = resolve_page(path, path, Spelling::Plain, mode, manifest)
    {
        return resolution;
    }
    Resolution::NotFound
}

fn resolve_page(
    path: &str,
    page: &str,
    spelling: Spelling,
    mode: HtmlHandling,
    manifest: &Manifest,
) -> Option<Resolution> {
    let index_first = match spelling {
        Spelling::IndexHtml => true,
        Spelling::Index | Spelling::Slash => mode != HtmlHandling::DropTrailingSlash,
        Spelling::Plain | Spelling::Html => false,
    };
    let order = if index_first {
        [PageFile::Index, PageFile::Named]
    } else {
        [PageFile::Named, PageFile::Index]
    };
    for file in order {
        let file_path = file.path(page);
        if !manifest.contains(&file_path) {
            continue;
        }
        let canonical = file.canonical(page, mode);
        if !file.yields(page, mode, manifest) && !manifest.contains(&canonical) {
            return Some(if canonical == path {
                Resolution::Asset(file_path)
            } else {
                Resolution::Redirect(canonical)
            });
        }
        if file_path == path {
            return Some(Resolution::Asset(file_path));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use HtmlHandling::{
        AutoTrailingSlash as Auto, DropTrailingSlash as Drop, ForceTrailingSlash as Force, None as Exact,
    };

    fn manifest(files: &[&str]) -> Manifest {
        let mut manifest = Manifest::default();
        for file in files {
            let entry = crate::Entry {
                size: 1,
                etag: format!("\"{file}\""),
                content_type: None,
            };
            manifest.insert((*file).to_owned(), entry);
        }
        manifest
    }

    /// `expected`: `-> /to`, a file, or `-` for nothing.
    fn check(mode: HtmlHandling, files: &[&str], path: &str, expected: &str) {
        let found = match resolve(path, mode, &manifest(files)) {
            Resolution::Asset(file) => file,
            Resolution::Redirect(to) => format!("-> {to}"),
            Resolution::NotFound => "-".to_owned(),
        };
        assert_eq!(found, expected, "{mode:?} {files:?} {path}");
    }

    const SITE: &[&str] = &["/index.html", "/about.html", "/docs/index.html", "/app.js", "/bin"];
    /// One page as both files.
    const BOTH: &[&str] = &["/foo.html", "/foo/index.html"];

    #[test]
    fn auto() {
        for (path, expected) in [
            ("/", "/index.html"),
            ("/index", "-> /"),
            ("/index.html", "-> /"),
            ("/about", "/about.html"),
            ("/about/", "-> /about"),
            ("/about.html", "-> /about"),
            ("/about/index", "-> /about"),
            ("/about/index.html", "-> /about"),
            ("/docs", "-> /docs/"),
            ("/docs/", "/docs/index.html"),
            ("/docs.html", "-> /docs/"),
            ("/docs/index", "-> /docs/"),
            ("/docs/index.html", "-> /docs/"),
            ("/app.js", "/app.js"),
            ("/app.js/", "-"),
            ("/bin", "/bin"),
            ("/bin/", "-"),
            ("/nope", "-"),
            ("/About", "-"),
        ] {
            check(Auto, SITE, path, expected);
        }
        for (path, expected) in [
            ("/foo", "/foo.html"),
            ("/foo/", "/foo/index.html"),
            ("/foo.html", "-> /foo"),
            ("/foo/index", "-> /foo/"),
            ("/foo/index.html", "-> /foo/"),
        ] {
            check(Auto, BOTH, path, expected);
        }
    }

    #[test]
    fn force() {
        for (path, expected) in [
            ("/", "/index.html"),
            ("/index", "-> /"),
            ("/index.html", "-> /"),
            ("/about", "-> /about/"),
            ("/about/", "/about.html"),
            ("/about.html", "-> /about/"),
            ("/about/index", "-> /about/"),
            ("/about/index.html", "-> /about/"),
            ("/docs", "-> /docs/"),
            ("/docs/", "/docs/index.html"),
            ("/docs.html", "-> /docs/"),
            ("/docs/index.html", "-> /docs/"),
            ("/app.js", "/app.js"),
            ("/bin", "/bin"),
            ("/bin/", "-"),
        ] {
            check(Force, SITE, path, expected);
        }
        for (path, expected) in [
            ("/foo", "-> /foo/"),
            ("/foo/", "/foo/index.html"),
            ("/foo.html", "/foo.html"),
            ("/foo/index", "-> /foo/"),
            ("/foo/index.html", "-> /foo/"),
        ] {
            check(Force, BOTH, path, expected);
        }
    }

    #[test]
    fn drop() {
        for (path, expected) in [
            ("/", "/index.html"),
            ("/index", "-> /"),
            ("/index.html", "-> /"),
            ("/about", "/about.html"),
            ("/about/", "-> /about"),
            ("/about.html", "-> /about"),
            ("/docs", "/docs/index.html"),
            ("/docs/", "-> /docs"),
            ("/docs.html", "-> /docs"),
            ("/docs/index", "-> /docs"),
            ("/docs/index.html", "-> /docs"),
            ("/bin", "/bin"),
            ("/bin/", "-"),
        ] {
            check(Drop, SITE, path, expected);
        }
        for (path, expected) in [
            ("/foo", "/foo.html"),
            ("/foo/", "-> /foo"),
            ("/foo.html", "-> /foo"),
            ("/foo/index", "-> /foo"),
            ("/foo/index.html", "/foo/index.html"),
        ] {
            check(Drop, BOTH, path, expected);
        }
    }

    #[test]
    fn exact() {
        for (path, expected) in [
            ("/", "-"),
            ("/index.html", "/index.html"),
            ("/about", "-"),
            ("/about.html", "/about.html"),
            ("/docs/", "-"),
            ("/bin", "/bin"),
        ] {
            check(Exact, SITE, path, expected);
        }
    }

    #[test]
    fn odd_names() {
        check(Auto, &["/.html"], "/.html", "/.html");
        check(Auto, &["/.html"], "/", "-");
        check(Auto, &["/a/.html"], "/a/.html", "/a/.html");
        check(Auto, &["/index"], "/index", "/index");
        check(Auto, &["/index", "/index.html"], "/index", "/index");
        check(Auto, &["/a.html.html"], "/a.html", "/a.html.html");
        check(Auto, &["/a/index/index.html"], "/a/index", "-> /a/index/");
        check(Drop, &["/a/index/index.html"], "/a/index", "/a/index/index.html");
        check(Auto, &["/foo", "/foo.html"], "/foo.html", "/foo.html");
        check(Auto, &["/foo", "/foo.html"], "/foo", "/foo");
        check(Auto, &[], "", "-");
    }

    /// Whatever the files: redirects end soon, at a path that serves; and every file can be reached.
    #[test]
    fn redirects_end_and_every_file_is_reachable() {
        const NAMES: [&str; 9] = [
            "/index.html",
            "/index",
            "/a",
            "/a.html",
            "/a/index.html",
            "/a/index",
            "/a/index/index.html",
            "/a/b.html",
            "/index/index.html",
        ];
        for mode in [Auto, Force, Drop, Exact] {
            for set in 0_u32..1 << NAMES.len() {
                let files: Vec<&str> = (0..NAMES.len())
                    .filter(|bit| set >> bit & 1 == 1)
                    .map(|bit| NAMES[bit])
                    .collect();
                // A file system cannot hold `/a` as a file and as a directory.
                let clash = |file: &&str| files.iter().any(|other| other.starts_with(&format!("{file}/")));
                if files.iter().any(clash) {
                    continue;
                }
                let manifest = manifest(&files);
                for file in &files {
                    let mut path = (*file).to_owned();
                    let mut hops = 0;
                    loop {
                        match resolve(&path, mode, &manifest) {
                            Resolution::Asset(_) => break,
                            Resolution::Redirect(to) => path = to,
                            Resolution::NotFound => panic!("{mode:?} {files:?} {file} ends at {path}: nothing"),
                        }
                        hops += 1;
                        assert!(hops <= 2, "{mode:?} {files:?} {file} loops at {path}");
                    }
                    let reachable = NAMES.iter().flat_map(|name| {
                        let page = name.strip_suffix(".html").unwrap_or(name);
                        let page = page.strip_suffix("/index").unwrap_or(page);
                        [(*name).to_owned(), page.to_owned(), format!("{page}/")]
                    });
                    let served = reachable
                        .into_iter()
                        .any(|path| resolve(&path, mode, &manifest) == Resolution::Asset((*file).to_owned()));
                    assert!(served, "{mode:?} {files:?} {file} is served nowhere");
                }
            }
        }
    }
}
