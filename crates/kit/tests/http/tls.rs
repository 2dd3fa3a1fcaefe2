//! Secure connections that are not.
//!
//! The certificates in `tls/` belong to nobody: made for these tests, valid from 2020 to 2120 (but for
//! the expired one), their authority's key thrown away.

use std::path::PathBuf;
use std::sync::Arc;

use overlock_core::ErrorKind;
use overlock_kit::http::{Request, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::world::{Setup, world};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/http/tls")
        .join(name)
}

/// Serves one good answer after another with the certificate of this name.
async fn serve(name: &str) -> (Url, tokio::task::JoinHandle<()>) {
    let certificate = CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok() {
                let reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]";
                let _sent = stream.write_all(reply).await;
                let _closed = stream.shutdown().await;
            }
        }
    });
    (url, task)
}

#[tokio::test]
async fn a_company_authority_is_trusted_when_it_is_given() {
    let (url, task) = serve("good").await;
    let setup = Setup {
        ca_file: Some(file("ca.pem")),
        ..Setup::default()
    };
    let world = world(&url, setup);
    assert_eq!(world.http.send(Request::get("/")).await.unwrap().body, "[]");
    task.abort();
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_without_retry() {
    // covers: N23
    for (name, trusted) in [("good", false), ("other", true), ("expired", true)] {
        let (url, task) = serve(name).await;
        let setup = Setup {
            ca_file: trusted.then(|| file("ca.pem")),
            ..Setup::default()
        };
        let world = world(&url, setup);
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{name}");
        assert!(error.to_string().contains("certificate"), "{name}: {error}");
        assert!(error.hint_text().unwrap().contains("ca_file"), "{name}");
        assert_eq!(world.http.calls(), 1, "{name}");
        task.abort();
    }
}

#[tokio::test]
async fn a_server_without_modern_tls_is_refused_without_retry() {
    // covers: N23
    // An alert "protocol version", as a server of TLS 1.1 sends it; and no TLS at all.
    for answer in [
        &b"\x15\x03\x01\x00\x02\x02\x46"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok() {
                    let _sent = stream.write_all(answer).await;
                    let _read = stream.read(&mut buffer).await;
                }
            }
        });
        let world = world(&url, Setup::default());
        let error = world.http.send(Request::get("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("secure connection"), "{error}");
        assert_eq!(world.http.calls(), 1, "{error}");
        task.abort();
    }
}

#[tokio::test]
async fn a_ca_file_of_no_use_is_named() {
    let events = Arc::default();
    let mut cx = crate::world::context(&events);
    for name in ["good.key", "missing.pem"] {
        cx.ca_file = Some(file(name));
        let url = Url::parse("https://acme.test").unwrap();
        let auth = overlock_kit::http::StaticAuth::new(overlock_core::Secret::new("x"), url);
        let error = overlock_kit::Http::new(
            overlock_kit::http::HttpSettings::default(),
            Arc::new(auth),
            Arc::new(overlock_kit::http::PlainApi),
            &cx,
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{error}");
    }
}
