//! An S3 server of the test's own: s3s-fs over a temporary directory, on loopback.

use atoll_backends::S3Options;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// The one bucket.
pub const BUCKET: &str = "bucket";
/// Who may use it.
pub const ACCESS_KEY: &str = "key";
/// With this.
pub const SECRET_KEY: &str = "secret";

/// A server with one bucket. Its tasks end with the test's runtime.
pub struct Server {
    _directory: tempfile::TempDir,
    /// Its URL.
    pub endpoint: String,
}

impl Server {
    /// Starts one. One that does not obey conditions writes whatever `If-None-Match` says.
    pub async fn start(obeys_conditions: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let files = s3s_fs::FileSystem::new(directory.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
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

    /// How it is reached.
    pub fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".into(),
            bucket: BUCKET.into(),
            access_key: Some((ACCESS_KEY.into(), SECRET_KEY.into())),
            allow_http: true,
            conditional_writes: true,
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
