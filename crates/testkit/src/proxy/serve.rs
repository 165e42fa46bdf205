//! The proxy's own end of the network.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leasehold_controlplane::certificates::Pair;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::answer::answer;
use super::network::{Line, Partition, Severed};
use super::upstream::Trouble;

/// After a connection could not be accepted, as when there are too many files.
const AGAIN: Duration = Duration::from_millis(50);

/// Speaks HTTP/1.1 and nothing else, so that each watch has a connection of its own.
pub(super) fn acceptor(pair: &Pair) -> Result<TlsAcceptor, Trouble> {
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until it is dropped; its connections end with it.
pub(super) async fn serve(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
                }
                Err(_) => sleep(AGAIN).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let severed = Severed::default();
    let line = Line::new(stream, severed.clone());
    match shared.network.now() {
        Some(Partition::Refusing) => {
            severed.now();
            return;
        }
        Some(Partition::Silent) => shared.network.speaks().await,
        None => {}
    }
    let Ok(line) = tls.accept(line).await else {
        return;
    };
    let service = service_fn(move |request| answer(Arc::clone(&shared), severed.clone(), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(line), service);
    // a client that goes away, and a connection that was cut, are errors that nobody waits for
    served.await.ok();
}
