//! The connection to the API server, and the [`Kit`] that everything else goes through.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderValue, header};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
    runtime::events::{Recorder, Reporter},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    backoff::Jitter,
    clock::{Clock, SystemClock},
    metrics::Metrics,
    server_time::ServerTime,
    tally::TallyLayer,
};

/// The name under which our writes are recorded in `managedFields`.
pub const FIELD_MANAGER: &str = "leasehold";

/// No call takes longer, its repetitions included.
const DEADLINE: Duration = Duration::from_secs(15);
/// Calls that are under way at the same time; more wait, within their deadlines. The API server serves a client's calls
/// fairly up to a share of its seats, and more would only wait there.
const CALLS: usize = 64;
/// No connection takes longer to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which an answer is waited for, and nothing came for so long, is dead. Longer than any call's deadline,
/// and than the API server leaves a watch open.
const SILENCE: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The kubeconfig file. Without one: `$KUBECONFIG`, the file in the home directory, the service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without one the current context.
    pub context: Option<String>,
    /// How we introduce ourselves: program and version.
    pub user_agent: String,
    /// No call takes longer, its repetitions included.
    pub deadline: Duration,
    /// A connection on which nothing came for so long is given up, also where no deadline of a call is: the lists and the
    /// openings of the watches that controllers and caches make for themselves have none. Longer than a watch lasts.
    pub silence: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            user_agent: concat!("leasehold/", env!("CARGO_PKG_VERSION")).to_owned(),
            deadline: DEADLINE,
            silence: SILENCE,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig or its context cannot be used.
    #[error("failed to read the kubeconfig{}; check the file and the context", in_file(.path.as_ref()))]
    Kubeconfig {
        /// The file, if one was named.
        path: Option<PathBuf>,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error("failed to find out how to reach the API server; name a kubeconfig or run in a pod")]
    Infer(#[source] Box<InferConfigError>),
    /// The user agent cannot stand in a header.
    #[error("failed to use the user agent {value:?}; it must be printable ASCII")]
    UserAgent {
        /// The user agent.
        value: String,
        /// What is wrong with it.
        #[source]
        source: header::InvalidHeaderValue,
    },
    /// The certificates or credentials cannot be used.
    #[error(
        "failed to set up the connection to the API server; check certificates and credentials"
    )]
    Setup(#[source] Box<kube::Error>),
}

fn in_file(path: Option<&PathBuf>) -> String {
    path.map(|path| format!(" {}", path.display()))
        .unwrap_or_default()
}

/// The way to the API server: calls, clocks, events and metrics. Cheap to clone.
#[derive(Clone)]
pub struct Kit(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    client: Client,
    clock: Arc<dyn Clock>,
    server_time: ServerTime,
    recorder: Recorder,
    metrics: Metrics,
    deadline: Duration,
    calls: Arc<Semaphore>,
    field_manager: String,
    jitter: Jitter,
}

/// Connects to the API server.
///
/// The client does not repeat anything by itself. Calls through the [`Kit`] have a deadline each; everything else is given
/// up after a silence that is longer than any watch.
///
/// # Errors
///
/// When the configuration cannot be read or used. That the server answers is not checked.
pub async fn connect(options: ConnectOptions) -> Result<Kit, ConnectError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // an error says that somebody else installed one in between, which is as good
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    let mut config = load(&options).await?;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(options.silence);
    // counted from a request on, not from when its connection was last used
    config.reset_reader_on_write = true;
    let agent =
        HeaderValue::from_str(&options.user_agent).map_err(|source| ConnectError::UserAgent {
            value: options.user_agent.clone(),
            source,
        })?;
    config.headers.push((header::USER_AGENT, agent));

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let server_time = ServerTime::new(Arc::clone(&clock));
    let metrics = Metrics::new();
    let client = ClientBuilder::try_from(config)
        .map_err(|error| ConnectError::Setup(Box::new(error)))?
        .with_layer(&server_time.layer())
        .with_layer(&TallyLayer::new(metrics.clone()))
        .build();
    // replicas that start together must not pause in step
    let seed =
        u64::from(std::process::id()) ^ u64::try_from(clock.now().as_nanosecond()).unwrap_or(0);
    let kit = Kit::from_parts(client, clock, server_time);
    Ok(kit.with(|inner| {
        inner.metrics = metrics;
        inner.deadline = options.deadline;
        inner.jitter = Jitter::seeded(seed);
    }))
}

async fn load(options: &ConnectOptions) -> Result<Config, ConnectError> {
    let selection = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    let unusable = |error| ConnectError::Kubeconfig {
        path: options.kubeconfig.clone(),
        source: Box::new(error),
    };
    match (&options.kubeconfig, &options.context) {
        (Some(path), _) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(unusable)?;
            Config::from_custom_kubeconfig(kubeconfig, &selection)
                .await
                .map_err(unusable)
        }
        (None, Some(_)) => Config::from_kubeconfig(&selection).await.map_err(unusable),
        (None, None) => Config::infer()
            .await
            .map_err(|error| ConnectError::Infer(Box::new(error))),
    }
}

impl Kit {
    /// A kit over a client that does not tell the server's time, as in tests: time is the clock's.
    /// Chance is the same on every run.
    pub fn from_client(client: Client, clock: Arc<dyn Clock>) -> Self {
        let server_time = ServerTime::new(Arc::clone(&clock));
        Self::from_parts(client, clock, server_time)
    }

    /// A kit over a client whose stack contains [`ServerTime::layer`] of `server_time`.
    pub fn from_parts(client: Client, clock: Arc<dyn Clock>, server_time: ServerTime) -> Self {
        let recorder = recorder(&client, None);
        Self(Arc::new(Inner {
            client,
            clock,
            server_time,
            recorder,
            metrics: Metrics::new(),
            deadline: DEADLINE,
            calls: Arc::new(Semaphore::new(CALLS)),
            field_manager: FIELD_MANAGER.to_owned(),
            jitter: Jitter::seeded(0),
        }))
    }

    /// The same with another name in `managedFields`.
    #[must_use]
    pub fn with_field_manager(self, field_manager: &str) -> Self {
        self.with(|inner| field_manager.clone_into(&mut inner.field_manager))
    }

    /// The same with events that name this process (its pod) as their author. For the start of the process: what was
    /// published before is forgotten.
    #[must_use]
    pub fn with_instance(self, instance: &str) -> Self {
        self.with(|inner| inner.recorder = recorder(&inner.client, Some(instance.to_owned())))
    }

    /// The same with places of its own among the calls under way.
    pub(crate) fn apart(&self) -> Self {
        self.clone()
            .with(|inner| inner.calls = Arc::new(Semaphore::new(1)))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// A place among the calls that are under way. `None` only if places were closed, which nobody does.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.0.calls.acquire().await.ok()
    }

    /// The client, for controllers and watches. Calls through it alone have no deadline; writes must not use it.
    pub fn client(&self) -> Client {
        self.0.client.clone()
    }

    /// The clocks of this machine.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// The API server's clock.
    pub fn server_time(&self) -> &ServerTime {
        &self.0.server_time
    }

    /// The metrics of the process.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// No call takes longer, its repetitions included.
    pub fn deadline(&self) -> Duration {
        self.0.deadline
    }

    /// The name under which our writes are recorded in `managedFields`.
    pub fn field_manager(&self) -> &str {
        &self.0.field_manager
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    pub(crate) fn jitter(&self) -> &Jitter {
        &self.0.jitter
    }
}

fn recorder(client: &Client, instance: Option<String>) -> Recorder {
    Recorder::new(
        client.clone(),
        Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, fake};
    use http::{Request, Response};
    use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
    use kube::{
        Api,
        api::{ListParams, WatchParams},
        client::Body,
    };
    use serde_json::json;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_date_of_an_answer_reaches_the_servers_clock() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(fake::new_year()));
        let time = ServerTime::new(Arc::clone(&clock));
        let service = tower::service_fn(|_: Request<Body>| async {
            Response::builder()
                .header("Date", "Tue, 15 Nov 1994 08:12:31 GMT")
                .body(Body::from(br#"{"metadata": {"name": "x"}}"#.to_vec()))
        });
        let client = ClientBuilder::new(service, "default")
            .with_layer(&time.layer())
            .build();
        let kit = Kit::from_parts(client, clock, time);
        assert_eq!(kit.server_time().now(), fake::new_year());
        kit.get::<Namespace>(None, "x").await.unwrap().unwrap();
        assert!(kit.server_time().is_known());
        // the clock stands still: the answer came in no time, the middle of the second is known
        assert_eq!(
            kit.server_time().now(),
            Timestamp::from_millisecond(784_887_151_500).unwrap()
        );
    }

    /// A kubeconfig for a server in plain HTTP: without credentials, and it trusts nobody.
    fn kubeconfig(folder: &std::path::Path, server: &str) -> PathBuf {
        let path = folder.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": server, "certificate-authority-data": "Cg==",
            }}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_never_answers_is_given_up_where_no_deadline_is() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let accepting = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                held.push(listener.accept().await.unwrap());
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let options = ConnectOptions {
            kubeconfig: Some(kubeconfig(folder.path(), &server)),
            silence: Duration::from_millis(200),
            ..ConnectOptions::default()
        };
        let kit = connect(options).await.unwrap();
        // as caches and controllers list, and as they open their watches
        let namespaces: Api<Namespace> = Api::all(kit.client());
        let (list, watch) = (ListParams::default(), WatchParams::default());
        let patience = Duration::from_secs(20);
        let listed = tokio::time::timeout(patience, namespaces.list(&list)).await;
        assert!(listed.unwrap().is_err());
        let watched = tokio::time::timeout(patience, namespaces.watch(&watch, "1")).await;
        assert!(watched.unwrap().is_err());
        accepting.abort();
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let options = ConnectOptions {
            kubeconfig: Some(PathBuf::from("no/such/kubeconfig")),
            ..ConnectOptions::default()
        };
        let Err(error) = connect(options).await else {
            panic!("connected to nothing")
        };
        assert_eq!(
            error.to_string(),
            "failed to read the kubeconfig no/such/kubeconfig; check the file and the context"
        );
    }
}
