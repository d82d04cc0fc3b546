use super::*;
use atoll_assets::{FILE_BYTES_MAX, RULE_FILE_BYTES_MAX};
use atoll_model::{HtmlHandling, NotFoundHandling, RequestId, RunWorkerFirst, TenantId, WorkerName};
use atoll_worker::{BodyError, Frame};
use http::{HeaderMap, HeaderName, Method};
use std::fs;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const BIG: usize = 1_000_003;
const COLLECT_MAX: u64 = 64 * 1024 * 1024;

struct Site {
    directory: TempDir,
    server: Arc<AssetServer>,
    warnings: Vec<String>,
}

fn big() -> Vec<u8> {
    (0..BIG).map(|n| (n % 251) as u8).collect()
}

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (path, content) in files {
        write(&directory, path, content);
    }
    directory
}

fn write(directory: &TempDir, path: &str, content: &[u8]) {
    let path = directory.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn open(directory: TempDir, config: AssetsConfig) -> Site {
    let (server, warnings) = AssetServer::open(directory.path(), config).unwrap();
    Site {
        directory,
        server,
        warnings,
    }
}

fn site(files: &[(&str, &[u8])]) -> Site {
    open(directory(files), AssetsConfig::default())
}

/// `METHOD /path`, then header lines.
fn request(text: &str) -> RequestHead {
    let mut lines = text.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    RequestHead {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        url: format!("http://site.test{path}"),
        headers,
        protocol: "HTTP/1.1",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket: false,
        cf: None,
    }
}

impl Site {
    async fn get(&self, text: &str) -> Response {
        match self.server.answer(&request(text), false).await {
            AssetAnswer::Respond(response) => response,
            AssetAnswer::RunWorker => panic!("{text}: there is no worker"),
        }
    }

    /// The status and the body.
    async fn check(&self, text: &str, status: u16, expected: &[u8]) {
        let response = self.get(text).await;
        assert_eq!(response.head.status, status, "{text}");
        let body = response.body.collect(COLLECT_MAX).await.unwrap();
        assert!(body == expected, "{text}: {} bytes, not {}", body.len(), expected.len());
    }

    async fn etag(&self, path: &str) -> String {
        let response = self.get(&format!("HEAD {path}")).await;
        header_of(&response, "etag").to_owned()
    }
}

fn header_of<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .head
        .headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn serves_small_empty_and_large_files() {
    let site = site(&[
        ("a.txt", b"hello"),
        ("empty.css", b""),
        ("big.bin", &big()),
        ("index.html", b"<p>"),
    ]);
    assert_eq!(site.warnings, [""; 0]);
    assert_eq!(site.server.file_count(), 4);
    site.check("GET /a.txt", 200, b"hello").await;
    site.check("GET /empty.css", 200, b"").await;
    site.check("GET /big.bin", 200, &big()).await;
    site.check("GET /", 200, b"<p>").await;
    site.check("HEAD /big.bin", 200, b"").await;
    site.check("GET /nope", 404, b"").await;
    let response = site.get("GET /a.txt").await;
    assert_eq!(header_of(&response, "content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        header_of(&response, "cache-control"),
        "public, max-age=0, must-revalidate"
    );
    assert_eq!(header_of(&response, "accept-ranges"), "bytes");
    // sha-256 of "hello", its first half.
    assert_eq!(header_of(&response, "etag"), "\"2cf24dba5fb0a30e26e83b2ac5b9e29e\"");
    assert_eq!(response.body.length(), Some(5));
    let response = site.get("HEAD /big.bin").await;
    assert_eq!(header_of(&response, "content-length"), BIG.to_string());
    assert_eq!(site.get("GET /big.bin").await.body.length(), Some(BIG as u64));
}

#[tokio::test]
async fn ranges() {
    let site = site(&[("a.txt", b"0123456789"), ("big.bin", &big())]);
    let check = async |path: &str, range: &str, status, content_range: &str, expected: &[u8]| {
        let text = format!("GET {path}\nrange: {range}");
        let response = site.get(&text).await;
        assert_eq!(header_of(&response, "content-range"), content_range, "{text}");
        site.check(&text, status, expected).await;
    };
    check("/a.txt", "bytes=2-4", 206, "bytes 2-4/10", b"234").await;
    check("/a.txt", "bytes=-2", 206, "bytes 8-9/10", b"89").await;
    check("/a.txt", "bytes=10-", 416, "bytes */10", b"").await;
    check("/a.txt", "bytes=0-1,4-5", 200, "", b"0123456789").await;
    let big = big();
    let total = BIG;
    check(
        "/big.bin",
        "bytes=1-",
        206,
        &format!("bytes 1-{}/{total}", total - 1),
        &big[1..],
    )
    .await;
    check(
        "/big.bin",
        "bytes=100-199",
        206,
        &format!("bytes 100-199/{total}"),
        &big[100..200],
    )
    .await;
    check(
        "/big.bin",
        "bytes=65536-400000",
        206,
        &format!("bytes 65536-400000/{total}"),
        &big[65536..=400_000],
    )
    .await;
    check(
        "/big.bin",
        "bytes=-1",
        206,
        &format!("bytes {0}-{0}/{total}", total - 1),
        &big[total - 1..],
    )
    .await;
}

#[tokio::test]
async fn entity_tags() {
    let site = site(&[("a.txt", b"one"), ("same.txt", b"one"), ("b.txt", b"two")]);
    let etag = site.etag("/a.txt").await;
    assert_eq!(etag, site.etag("/same.txt").await);
    assert_ne!(etag, site.etag("/b.txt").await);
    site.check(&format!("GET /a.txt\nif-none-match: {etag}"), 304, b"")
        .await;
    site.check(&format!("GET /a.txt\nif-none-match: W/{etag}"), 304, b"")
        .await;
    site.check(&format!("GET /a.txt\nif-none-match: \"x\", {etag}"), 304, b"")
        .await;
    site.check("GET /a.txt\nif-none-match: *", 304, b"").await;
    site.check("GET /a.txt\nif-none-match: \"x\"", 200, b"one").await;
    site.check(&format!("GET /b.txt\nif-none-match: {etag}"), 200, b"two")
        .await;
    site.check(&format!("GET /a.txt\nrange: bytes=0-0\nif-range: {etag}"), 206, b"o")
        .await;
    site.check("GET /a.txt\nrange: bytes=0-0\nif-range: \"x\"", 200, b"one")
        .await;
    let response = site.get(&format!("GET /a.txt\nif-none-match: {etag}")).await;
    assert_eq!(header_of(&response, "etag"), etag);
    assert_eq!(
        header_of(&response, "cache-control"),
        "public, max-age=0, must-revalidate"
    );
}

#[tokio::test]
async fn nothing_outside_the_directory() {
    let outside = directory(&[("public/a.txt", b"in"), ("secret.txt", b"out")]);
    let server = AssetServer::open(&outside.path().join("public"), AssetsConfig::default())
        .unwrap()
        .0;
    let site = Site {
        directory: outside,
        server,
        warnings: Vec::new(),
    };
    site.check("GET /a.txt", 200, b"in").await;
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/..%2Fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%2e%2e%5csecret.txt",
        "/x/../../secret.txt",
        "/x/..%2f..%2fsecret.txt",
        "//secret.txt",
        "/..%252fsecret.txt",
        "/..%c0%afsecret.txt",
        "/a.txt%00",
        "/%00/a.txt",
        "/a.txt%2f..%2f..%2fsecret.txt",
        "/a.txt/",
        "/file:%2f%2f/secret.txt",
    ] {
        site.check(&format!("GET {path}"), 404, b"").await;
    }
    let absolute = site.directory.path().join("secret.txt").to_str().unwrap().to_owned();
    site.check(&format!("GET {absolute}"), 404, b"").await;
    site.check(&format!("GET /{absolute}"), 404, b"").await;
}

#[cfg(unix)]
#[tokio::test]
async fn links_lead_only_inside() {
    use std::os::unix::fs::symlink;
    let outside = directory(&[
        ("public/a.txt", b"in"),
        ("public/.env", b"key"),
        ("secret.txt", b"out"),
        ("dir/b.txt", b"b"),
    ]);
    let public = outside.path().join("public");
    symlink("a.txt", public.join("inside.txt")).unwrap();
    symlink("../secret.txt", public.join("out.txt")).unwrap();
    symlink("../dir", public.join("out")).unwrap();
    symlink(".", public.join("loop")).unwrap();
    symlink("nothing", public.join("broken")).unwrap();
    symlink(".env", public.join("env.txt")).unwrap();
    let (server, warnings) = AssetServer::open(&public, AssetsConfig::default()).unwrap();
    let site = Site {
        directory: outside,
        server,
        warnings,
    };
    site.check("GET /inside.txt", 200, b"in").await;
    for path in ["/out.txt", "/out/b.txt", "/loop/a.txt", "/broken", "/env.txt", "/.env"] {
        site.check(&format!("GET {path}"), 404, b"").await;
    }
    let mut warnings = site.warnings.clone();
    warnings.sort_unstable();
    assert_eq!(
        warnings,
        [
            "the asset broken is not served: it is a link to nothing",
            "the asset env.txt is not served: it is a link to a file that is left out",
            "the asset loop is not served: it is a link to a directory; only links to files are followed",
            "the asset out is not served: it is a link out of the assets directory",
            "the asset out.txt is not served: it is a link out of the assets directory",
        ]
    );
    // A file that becomes a link to the outside after the scan.
    fs::remove_file(public.join("a.txt")).unwrap();
    symlink("../secret.txt", public.join("a.txt")).unwrap();
    site.check("GET /a.txt", 404, b"").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_becomes_a_link_leads_nowhere() {
    use std::os::unix::fs::symlink;
    let outside = directory(&[("public/d/a.txt", b"in"), ("dir/a.txt", b"ou")]);
    let public = outside.path().join("public");
    let (server, warnings) = AssetServer::open(&public, AssetsConfig::default()).unwrap();
    fs::remove_dir_all(public.join("d")).unwrap();
    symlink("../dir", public.join("d")).unwrap();
    let site = Site {
        directory: outside,
        server,
        warnings,
    };
    site.check("GET /d/a.txt", 404, b"").await;
}

#[tokio::test]
async fn rule_files_apply_and_are_not_served() {
    let site = site(&[
        ("a.txt", b"a"),
        ("a.txt.map", b"m"),
        ("keep/b.txt", b"b"),
        ("_worker.js", b"code"),
        ("_routes.json", b"{}"),
        ("_headers", b"\xef\xbb\xbf/*\n  X-A: 1\nnonsense\n"),
        ("_redirects", b"/old /a.txt 301\n/bad\n"),
        (".assetsignore", b"*.map\n[x\n"),
        (".env", b"key"),
    ]);
    for path in [
        "/_worker.js",
        "/_routes.json",
        "/_headers",
        "/_redirects",
        "/.assetsignore",
        "/a.txt.map",
        "/.env",
    ] {
        site.check(&format!("GET {path}"), 404, b"").await;
    }
    let response = site.get("GET /keep/b.txt").await;
    assert_eq!((response.head.status, header_of(&response, "x-a")), (200, "1"));
    let response = site.get("GET /old?q").await;
    assert_eq!(
        (response.head.status, header_of(&response, "location")),
        (301, "/a.txt?q")
    );
    assert_eq!(header_of(&response, "x-a"), "1");
    assert_eq!(site.server.file_count(), 2);
    let starts: Vec<&str> = site
        .warnings
        .iter()
        .map(|warning| warning.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        starts,
        [".assetsignore:2", "_redirects:2", "_headers:3"],
        "{:?}",
        site.warnings
    );
}

#[tokio::test]
async fn a_precompressed_file_travels_as_it_is() {
    let site = site(&[
        ("a.js", b"\x1f\x8b"),
        ("_headers", b"/a.js\n  Content-Encoding: gzip\n"),
    ]);
    assert!(site.get("GET /a.js").await.head.manual_encoding);
    assert!(!site.get("GET /nope").await.head.manual_encoding);
}

#[tokio::test]
async fn changes_are_seen_by_a_rescan() {
    let site = site(&[("a.txt", b"one"), ("b.txt", b"b")]);
    let before = site.etag("/a.txt").await;
    write(&site.directory, "a.txt", b"two");
    write(&site.directory, "new.txt", b"new");
    fs::remove_file(site.directory.path().join("b.txt")).unwrap();
    site.check("GET /new.txt", 404, b"").await;
    assert_eq!(site.server.rescan().await.unwrap(), [""; 0]);
    assert_ne!(site.etag("/a.txt").await, before);
    site.check("GET /a.txt", 200, b"two").await;
    site.check("GET /new.txt", 200, b"new").await;
    site.check("GET /b.txt", 404, b"").await;
    write(&site.directory, "_redirects", b"/x\n");
    assert_eq!(site.server.rescan().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_file_is_never_served_under_its_old_tag() {
    let site = site(&[("a.txt", b"one"), ("b.txt", b"b")]);
    let before = site.etag("/a.txt").await;
    write(&site.directory, "a.txt", b"twenty-two");
    let response = site.get("GET /a.txt").await;
    assert_ne!(header_of(&response, "etag"), before);
    assert_eq!(&response.body.collect(100).await.unwrap()[..], b"twenty-two");
    fs::remove_file(site.directory.path().join("b.txt")).unwrap();
    site.check("GET /b.txt", 404, b"").await;
    // Gone, and a directory in its place.
    fs::remove_file(site.directory.path().join("a.txt")).unwrap();
    write(&site.directory, "a.txt/index.html", b"dir");
    let response = site.get("GET /a.txt").await;
    assert_eq!(
        (response.head.status, header_of(&response, "location")),
        (307, "/a.txt/")
    );
}

/// Tools that copy files keep size and times.
#[cfg(unix)]
#[tokio::test]
async fn other_content_with_the_same_size_and_time_is_noticed() {
    let site = site(&[("a.txt", b"one")]);
    let path = site.directory.path().join("a.txt");
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    };
    set(b"one");
    site.server.rescan().await.unwrap();
    let before = site.etag("/a.txt").await;
    site.server.rescan().await.unwrap();
    assert_eq!(site.etag("/a.txt").await, before);
    set(b"two");
    site.check("GET /a.txt", 200, b"two").await;
    assert_ne!(site.etag("/a.txt").await, before);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_breaks_off() {
    for shorter in [true, false] {
        let site = site(&[("big.bin", &big())]);
        let Body::Stream(mut stream) = site.get("GET /big.bin").await.body else {
            panic!("a large file is streamed");
        };
        assert!(matches!(stream.frame().await, Some(Ok(Frame::Data(_)))));
        let file = fs::File::options()
            .write(true)
            .open(site.directory.path().join("big.bin"))
            .unwrap();
        file.set_len(if shorter { 10 } else { BIG as u64 + 1 }).unwrap();
        let error = Body::Stream(stream).collect(COLLECT_MAX).await.unwrap_err();
        assert!(
            matches!(&error, BodyError::Failed(text) if text.contains("changed")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_unread_body_waits_and_a_dropped_one_ends() {
    let site = site(&[("big.bin", &vec![7; 5_000_000])]);
    let response = site.get("GET /big.bin").await;
    assert_eq!(site.server.drain(Duration::from_millis(50)).await, 1);
    drop(response);
    assert_eq!(site.server.drain(Duration::from_secs(60)).await, 0);
}

#[tokio::test]
async fn the_worker_gets_what_the_assets_have_not() {
    let config = AssetsConfig {
        not_found_handling: NotFoundHandling::SinglePageApplication,
        run_worker_first: RunWorkerFirst::Patterns(vec!["/api/*".to_owned()]),
        ..AssetsConfig::default()
    };
    let site = open(directory(&[("index.html", b"app"), ("api/x.txt", b"x")]), config);
    let runs = async |text: &str| matches!(site.server.answer(&request(text), true).await, AssetAnswer::RunWorker);
    assert!(runs("GET /api/x.txt").await);
    assert!(!runs("POST /other").await);
    assert!(!runs("GET /other").await);
    site.check("GET /api/x.txt", 200, b"x").await;
}

#[tokio::test]
async fn the_binding_fetches() {
    let config = AssetsConfig {
        run_worker_first: RunWorkerFirst::All(true),
        html_handling: HtmlHandling::ForceTrailingSlash,
        ..AssetsConfig::default()
    };
    let site = open(directory(&[("a.html", b"page"), ("a.txt", b"text")]), config);
    let cancel = CancellationToken::new();
    let ctx = EventContext {
        tenant: TenantId::new("t"),
        worker: WorkerName::new("w"),
        request_id: RequestId(1),
        cancel: cancel.clone().into(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    };
    let fetch = async |text: &str| {
        let head = Box::new(request(text));
        let body = Body::from("not read");
        site.server.fetch(&ctx, Request { head, body }).await
    };
    let response = fetch("GET /a.txt").await.unwrap();
    assert_eq!(response.head.status, 200);
    assert_eq!(&response.body.collect(10).await.unwrap()[..], b"text");
    assert_eq!(fetch("GET /a").await.unwrap().head.status, 307);
    assert_eq!(fetch("GET /nope").await.unwrap().head.status, 404);
    assert_eq!(fetch("POST /a.txt").await.unwrap().head.status, 405);
    let response = fetch("GET /a.txt\nrange: bytes=1-2").await.unwrap();
    assert_eq!(response.head.status, 206);
}

#[tokio::test]
async fn refuses_what_it_cannot_serve() {
    let check = |directory: &TempDir, config: AssetsConfig, expected: &str| {
        let error = AssetServer::open(directory.path(), config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let default = AssetsConfig::default;
    let large = directory(&[("d/video.mp4", b"")]);
    fs::File::options()
        .write(true)
        .open(large.path().join("d/video.mp4"))
        .unwrap()
        .set_len(FILE_BYTES_MAX + 1)
        .unwrap();
    check(&large, default(), "the asset d/video.mp4 has 26214401 bytes");
    write(&large, ".assetsignore", b"*.mp4");
    assert!(AssetServer::open(large.path(), default()).is_ok());
    let rules = directory(&[("_headers", b"")]);
    fs::File::options()
        .write(true)
        .open(rules.path().join("_headers"))
        .unwrap()
        .set_len(RULE_FILE_BYTES_MAX + 1)
        .unwrap();
    check(&rules, default(), "_headers has 8388609 bytes");
    let run_worker_first = RunWorkerFirst::Patterns(vec!["api/*".to_owned()]);
    let config = AssetsConfig {
        run_worker_first,
        ..default()
    };
    check(&directory(&[]), config, "must begin with `/`");
    let missing = AssetServer::open(Path::new("/no/such/directory"), default()).unwrap_err();
    assert!(matches!(missing, AssetError::Directory { .. }));
    let file = directory(&[("a.txt", b"a")]);
    let file = AssetServer::open(&file.path().join("a.txt"), default()).unwrap_err();
    assert!(matches!(file, AssetError::Directory { .. }));
}

#[tokio::test]
async fn a_failed_rescan_keeps_what_was_served() {
    let site = site(&[("a.txt", b"a")]);
    write(&site.directory, "big.bin", b"");
    let path = site.directory.path().join("big.bin");
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(FILE_BYTES_MAX + 1)
        .unwrap();
    assert!(matches!(
        site.server.rescan().await,
        Err(AssetError::FileTooLarge { .. })
    ));
    site.check("GET /a.txt", 200, b"a").await;
    fs::remove_file(path).unwrap();
    site.server.rescan().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_while_the_directory_changes() {
    let names: Vec<String> = (0..200).map(|n| format!("d{}/f{n}.txt", n % 7)).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    let site = Arc::new(site(&files));
    let mut tasks = tokio::task::JoinSet::new();
    for (index, name) in names.iter().enumerate() {
        let (site, name) = (site.clone(), name.clone());
        tasks.spawn(async move {
            if index % 10 == 0 {
                // Another state of the file, put in place at once: each answer is one of the two, whole.
                write(&site.directory, &format!(".env.{index}"), b"changed");
                let to = site.directory.path();
                fs::rename(to.join(format!(".env.{index}")), to.join(&name)).unwrap();
                site.server.rescan().await.unwrap();
            }
            let response = site.get(&format!("GET /{name}")).await;
            assert_eq!(response.head.status, 200, "{name}");
            let length = response.body.length().unwrap();
            let body = response.body.collect(100).await.unwrap();
            assert_eq!(body.len() as u64, length);
            assert!(body == name.as_bytes() || body == b"changed"[..], "{name}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[derive(Debug, Default)]
struct Shelf {
    blobs: HashMap<BlobHash, Vec<u8>>,
    reads: std::sync::Mutex<Vec<std::ops::Range<u64>>>,
}

#[async_trait]
impl AssetBlobs for Shelf {
    async fn read(&self, blob: &BlobHash, range: std::ops::Range<u64>) -> Result<bytes::Bytes, String> {
        self.reads.lock().unwrap().push(range.clone());
        let bytes = self.blobs.get(blob).ok_or("there is no such blob")?;
        Ok(bytes[range.start as usize..range.end as usize].to_vec().into())
    }
}

/// What is answered, as far as a client sees it.
async fn shown(server: &AssetServer, text: &str) -> (u16, HeaderMap, Vec<u8>) {
    match server.answer(&request(text), false).await {
        AssetAnswer::Respond(response) => {
            let body = response.body.collect(COLLECT_MAX).await.unwrap().to_vec();
            (response.head.status, response.head.headers, body)
        }
        AssetAnswer::RunWorker => panic!("no worker"),
    }
}

#[tokio::test]
async fn an_artifact_is_served_as_its_directory_is() {
    let big = big();
    let files: Vec<(&str, &[u8])> = vec![
        ("index.html", b"<h1>home</h1>"),
        ("docs/index.html", b"docs"),
        ("empty.txt", b""),
        ("a.css", b"a{}"),
        ("big.bin", &big),
    ];
    let (headers, redirects) = ("/a.css\n  x-rule: yes\n", "/old /docs/ 301\n");
    let rules: [(&str, &[u8]); 2] = [("_headers", headers.as_bytes()), ("_redirects", redirects.as_bytes())];
    let all: Vec<_> = files.iter().copied().chain(rules).collect();
    let of_directory = site(&all);
    let mut shelf = Shelf::default();
    let blob = |path: &str, bytes: &[u8]| atoll_model::artifact::AssetBlob {
        path: format!("/{path}"),
        blob: BlobHash::of(bytes),
        size: bytes.len() as u64,
        content_type: None,
    };
    let manifest = AssetsManifest {
        config: AssetsConfig::default(),
        headers: Some(headers.into()),
        redirects: Some(redirects.into()),
        files: files.iter().map(|(path, bytes)| blob(path, bytes)).collect(),
    };
    for (_, bytes) in &files {
        shelf.blobs.insert(BlobHash::of(bytes), bytes.to_vec());
    }
    let shelf = Arc::new(shelf);
    let blobs = BlobReader::new(shelf.clone(), Handle::current());
    let of_artifact = AssetServer::of_artifact(&manifest, blobs).unwrap();
    let etag = format!("\"{}\"", &BlobHash::of(b"a{}").to_string()[..32]);
    for text in [
        "GET /",
        "GET /index.html",
        "GET /docs",
        "GET /docs/",
        "GET /old",
        "GET /empty.txt",
        "GET /a.css",
        "HEAD /a.css",
        "GET /big.bin",
        "GET /big.bin\nrange: bytes=999980-",
        "GET /big.bin\nrange: bytes=10-600000",
        "GET /big.bin\nrange: bytes=2000000-",
        "GET /a.css\nrange: bytes=1-1",
        "GET /missing",
        "POST /a.css",
        &format!("GET /a.css\nif-none-match: {etag}"),
    ] {
        let (expected, found) = (shown(&of_directory.server, text).await, shown(&of_artifact, text).await);
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(
        shown(&of_artifact, &format!("GET /a.css\nif-none-match: {etag}"))
            .await
            .0,
        304
    );
    // Small ones are had once, ranges of large ones as they are.
    let reads = |length: u64| {
        let reads = shelf.reads.lock().unwrap();
        reads.iter().filter(|range| range.end - range.start == length).count()
    };
    assert_eq!(reads(3), 1);
    assert_eq!(reads(13), 1);
}

#[tokio::test]
async fn a_blob_that_cannot_be_had_is_told() {
    let manifest = AssetsManifest {
        config: AssetsConfig::default(),
        headers: None,
        redirects: None,
        files: vec![atoll_model::artifact::AssetBlob {
            path: "/a.txt".into(),
            blob: BlobHash::of(b"a"),
            size: 1,
            content_type: None,
        }],
    };
    let blobs = BlobReader::new(Arc::new(Shelf::default()), Handle::current());
    let server = AssetServer::of_artifact(&manifest, blobs).unwrap();
    let (status, _, body) = shown(&server, "GET /a.txt").await;
    assert_eq!(status, 500);
    assert!(String::from_utf8(body).unwrap().contains("there is no such blob"));
}
