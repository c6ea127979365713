//! Starting and stopping.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use abide_address::{Holder, PlaceError};
use abide_auth::{
    AuditLog, Backend, HashPool, LoginDesk, PamBackend, Throttle, UsersBackend, UsersFile,
};
use abide_peers::Wire;
use abide_raft::{Fault, Peer, Raft, Start, StartError};
use abide_tls::{BrokerIdentity, Clients, IdentityError, WebCertificate, WebError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::broker::Broker;
use crate::formation::{Files, FormationError, Mark};
use crate::http::{App, router};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::replica::Replica;
use crate::settings::{LoginBackend, Settings, WebTls};
use crate::{clock, driver, hearsay, peers, pid, renewal, serve, service_address, timing};

/// How often the site's certificate files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// Hashing is slow on purpose; one thread leaves the other processors to everything else.
const HASH_THREADS: NonZeroUsize = NonZeroUsize::MIN;

/// Why a broker does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Its identity.
    #[error("cannot use the broker's identity; `abide broker init` makes one")]
    Identity(#[source] IdentityError),
    /// Its certificate for browsers.
    #[error("cannot use the certificate for browsers")]
    Web(#[source] WebError),
    /// Its users, or the audit log.
    #[error("cannot set up logins")]
    Login(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its data folder.
    #[error("cannot start on the data folder {}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: StartError,
    },
    /// What it is to do with an empty data folder.
    #[error("cannot tell which cluster's table to take part in")]
    Formation(#[source] FormationError),
    /// Its process id.
    #[error("cannot write the process id into the data folder; does another broker run on it?")]
    Pid(#[source] io::Error),
    /// An address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The service address.
    #[error("cannot hold the service address")]
    ServiceAddress(#[source] PlaceError),
    /// A thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The engine stopped by itself.
    #[error("the broker cannot go on")]
    Failed(#[source] Fault),
}

/// Runs a broker until `shutdown` resolves.
///
/// # Errors
/// [`BrokerError`]: it does not start, and nothing was changed; or it cannot go on.
pub async fn run(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), BrokerError> {
    let identity = BrokerIdentity::load(&settings.identity_dir).map_err(BrokerError::Identity)?;
    let certificate = web_certificate(&settings, &identity)?;
    let backend = login_backend(&settings)?;
    let (web, agents) = (listen(settings.http).await?, listen(settings.agents).await?);
    let place = service_address::look(&settings).map_err(BrokerError::ServiceAddress)?;
    let others = Peers::new(&identity.identity, timing::engine(settings.timing).timing);
    let files = Files::new(&settings.identity_dir);
    let known = files.brokers().map_err(BrokerError::Formation)?;
    let raft = start_engine(&settings, &identity, &files, &others).await?;
    // Dropped with this function, as the broker is over then.
    let _pid = pid::claim(&settings.data_dir).map_err(BrokerError::Pid)?;
    let audit = AuditLog::open(settings.data_dir.join("audit.jsonl"))
        .map_err(|cause| BrokerError::Login(Box::new(cause)))?;
    let (tell, failures) = mpsc::channel(peers::FAILURES);
    let throttle = Throttle::telling(tell);
    let logins = LoginDesk::new(identity.id().clone(), backend, throttle.clone(), audit.clone());
    let broker = Broker::new(raft.clone(), identity, audit, others, settings);

    let mut tasks = JoinSet::new();
    let stop = watch::Sender::new(false);
    if let Some(certificate) = certificate.clone() {
        tasks.spawn(certificate.keep_fresh(CERTIFICATE_CHECK));
    }
    tasks.spawn(renewal::keep(broker.clone()));
    tasks.spawn(clock::keep(broker.clone()));
    tasks.spawn(peers::compare_clocks(broker.clone()));
    tasks.spawn(broker.clone().publish());
    tasks.spawn(peers::enroll(broker.clone(), known));
    tasks.spawn(peers::tell_failures(broker.clone(), failures));
    tasks.spawn(files.keep_brokers(broker.clone()));
    tasks.spawn(driver::run(broker.clone()));
    tasks.spawn(hearsay::tell(broker.clone()));
    tasks.spawn(hearsay::keep_lines(broker.clone()));
    let internal = broker.identity.internal_server(Clients::NodesAndNewcomers);
    let nodes = serve::nodes(agents, internal, broker.clone(), logins.clone(), stop.subscribe());
    tasks.spawn(nodes);
    let holder = service_address::hold(place, &raft)?;
    let held = holder.as_ref().map(Holder::held);
    let metrics = Arc::new(Metrics::new(certificate.clone(), &broker, throttle, held));
    let app = App { broker: broker.clone(), logins, metrics };
    tasks.spawn(serve::web(web, certificate, router(app), stop.subscribe()));
    info!(broker = %broker.id, url = %broker.settings.public_url.as_str(), "Broker started");
    // Its sockets take calls. Whether there is a leader is not waited for: others may be starting too.
    abide_telemetry::tell_ready();

    let end = tokio::select! {
        () = shutdown => Ok(()),
        fault = raft.failed() => Err(BrokerError::Failed(fault)),
    };
    if end.is_err() {
        error!("The broker stops: it cannot write any more");
    }
    drop(holder);
    stop.send_replace(true);
    if let Err(cause) = raft.stop().await {
        let cause: &dyn std::error::Error = &cause;
        warn!(cause, "The data folder was not closed in order");
    }
    tasks.shutdown().await;
    info!("Broker stopped");
    end
}

async fn start_engine(
    settings: &Settings,
    identity: &BrokerIdentity,
    files: &Files,
    peers: &Peers,
) -> Result<Raft<Replica>, BrokerError> {
    let peer = Peer { address: settings.agent_address.clone(), name: identity.id().to_string() };
    let formation = files.formation(peer, &settings.data_dir).map_err(BrokerError::Formation)?;
    let start = Start {
        folder: settings.data_dir.clone(),
        cluster: identity.identity.cluster().0,
        formation,
        settings: timing::engine(settings.timing),
        transport: Arc::new(Wire(peers.consensus.clone())),
    };
    let raft = Raft::start(Replica::default(), start)
        .await
        .map_err(|cause| BrokerError::Data { folder: settings.data_dir.clone(), cause })?;
    // A rebuild consumes its mark when it has begun.
    if files.marked().map_err(BrokerError::Formation)? != Some(Mark::Recover) {
        files.consume().map_err(BrokerError::Formation)?;
    }
    Ok(raft)
}

fn web_certificate(
    settings: &Settings,
    identity: &BrokerIdentity,
) -> Result<Option<WebCertificate>, BrokerError> {
    match &settings.web_tls {
        WebTls::Off => Ok(None),
        WebTls::Cluster => Ok(Some(WebCertificate::from_identity(&identity.identity))),
        WebTls::Files { certificate, key } => {
            WebCertificate::from_files(certificate.clone(), key.clone())
                .map(Some)
                .map_err(BrokerError::Web)
        }
    }
}

fn login_backend(settings: &Settings) -> Result<Arc<dyn Backend>, BrokerError> {
    match &settings.login.backend {
        LoginBackend::UsersFile { path } => {
            let pool = HashPool::start(HASH_THREADS)
                .map_err(|cause| BrokerError::Login(Box::new(cause)))?;
            let file = UsersFile::open(path.clone())
                .map_err(|cause| BrokerError::Login(Box::new(cause)))?;
            Ok(Arc::new(UsersBackend::new(file, pool)))
        }
        LoginBackend::Pam { socket, service, administrators } => {
            Ok(Arc::new(PamBackend::new(socket.clone(), service.clone(), administrators.clone())))
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BrokerError> {
    TcpListener::bind(address).await.map_err(|cause| BrokerError::Listen { address, cause })
}
