//! The API server behind the proxy.

use std::error::Error;
use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::network::Cut;

/// What cannot be set up, and why.
pub(super) type Trouble = Box<dyn Error + Send + Sync>;

/// What belongs to one connection and not to the message on it. Compression goes as well: frames of a
/// watch are told apart by their lines.
const OF_THE_CONNECTION: [&str; 8] = [
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An API server, and by which certificate it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its address: `https://127.0.0.1:6443`, or plain `http://`.
    pub server: String,
    /// The authority that signed its certificate, PEM; none for plain HTTP.
    pub authority: Option<String>,
}

/// A client of it, without credentials of its own.
#[derive(Clone)]
pub(super) struct Door {
    server: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Door {
    pub(super) fn new(upstream: &Upstream) -> Result<Self, Trouble> {
        let mut roots = RootCertStore::empty();
        if let Some(authority) = &upstream.authority {
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(plain);
        Ok(Self {
            server: upstream.server.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Sends a request with these headers; the answer's head has come when this returns.
    pub(super) async fn send(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Cut> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .body(Full::new(body))
            .map_err(|_| Cut)?;
        *request.headers_mut() = of_the_message(headers);
        self.client.request(request).await.map_err(|_| Cut)
    }
}

/// The headers that go on to the other side.
pub(super) fn of_the_message(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in OF_THE_CONNECTION {
        kept.remove(name);
    }
    kept
}
