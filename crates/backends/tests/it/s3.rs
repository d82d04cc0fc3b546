//! S3: the contract of blob stores, against an S3 server over HTTP.

use atoll_backends::{S3Options, S3Store};
use atoll_store::blob::{BlobError, BlobStore, contract};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// A server with one bucket. Its tasks end with the test's runtime.
struct Server {
    _directory: tempfile::TempDir,
    endpoint: String,
}

impl Server {
    async fn start(obeys_conditions: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("bucket")).unwrap();
        let files = s3s_fs::FileSystem::new(directory.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        // This server looks at a condition and writes in two steps, which a real service does in one: it gets its writes
        // one after the other.
        let turn = Arc::new(Mutex::new(()));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, turn) = (service.clone(), turn.clone());
                let answer = service_fn(move |request: hyper::Request<Incoming>| {
                    answer(service.clone(), turn.clone(), request, obeys_conditions)
                });
                tokio::spawn(async move {
                    // A client that goes away is no concern of the server's.
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), answer)
                        .await;
                });
            }
        });
        Self {
            _directory: directory,
            endpoint,
        }
    }

    fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".into(),
            bucket: "bucket".into(),
            access_key: Some(("key".into(), "secret".into())),
            allow_http: true,
        }
    }
}

async fn answer(
    service: S3Service,
    turn: Arc<Mutex<()>>,
    request: hyper::Request<Incoming>,
    obeys_conditions: bool,
) -> Result<hyper::Response<s3s::Body>, s3s::HttpError> {
    let turn = match *request.method() {
        hyper::Method::PUT => Some(turn.lock_owned().await),
        _ => None,
    };
    let response = service.call(request.map(s3s::Body::from)).await?;
    drop(turn);
    if !obeys_conditions && response.status() == hyper::StatusCode::PRECONDITION_FAILED {
        // As services answer that do not know conditions: it is written.
        let mut written = hyper::Response::new(s3s::Body::empty());
        written
            .headers_mut()
            .insert("etag", hyper::header::HeaderValue::from_static("\"1\""));
        return Ok(written);
    }
    Ok(response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let mut servers = Vec::new();
    contract::run(contract::Nesting::Apart, async || {
        let server = Server::start(true).await;
        let store = S3Store::open(&server.options()).await.unwrap();
        servers.push(server);
        Arc::new(store) as Arc<dyn BlobStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_conditions_is_refused() {
    let server = Server::start(false).await;
    let error = S3Store::open(&server.options()).await.unwrap_err().to_string();
    assert!(error.contains("ignores If-None-Match"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_told() {
    let server = Server::start(true).await;
    let mut options = server.options();
    options.access_key = Some(("key".into(), "wrong".into()));
    let error = S3Store::open(&options).await.unwrap_err();
    assert!(matches!(error, BlobError::Failed { .. }), "{error}");
}
