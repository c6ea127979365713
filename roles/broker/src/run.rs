//! Starting and stopping.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use abide_address::{Holder, PlaceError};
use abide_auth::{
    AuditLog, Backend, HashPool, LoginDesk, PamBackend, Throttle, UsersBackend, UsersFile,
};
use abide_model::WireVersion;
use abide_peers::Wire;
use abide_raft::{Claim, Fault, Peer, Raft, Start, StartError};
use abide_tls::{BrokerIdentity, Clients, IdentityError, WebCertificate, WebError};
use abide_wire::Speaks;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::broker::Broker;
use crate::formation::{self, Files, FormationError, Mark};
use crate::ha::{self, Ask};
use crate::http::{App, router};
use crate::metrics::Metrics;
use crate::pair::{self, Pair};
use crate::peers::Peers;
use crate::replica::Replica;
use crate::settings::{LoginBackend, Settings, WebTls};
use crate::{
    clock, driver, hearsay, load_history, peers, pid, renewal, serve, service_address, speech,
    timing,
};

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
    /// The socket for cluster managers.
    #[error("cannot make the socket for `abide ha` in run_dir")]
    Socket(#[source] io::Error),
    /// What a broker of a pair must not forget, or data that are to be kept aside.
    #[error("cannot use the files of the pair in the data folder")]
    Aside(#[source] io::Error),
    /// The other brokers have come to a wire version that this build does not speak.
    #[error(
        "the cluster speaks wire version {cluster}, and this Abide speaks {here}: install a newer \
         one on this host. Nothing was changed here"
    )]
    Outgrown {
        /// What the cluster has come to.
        cluster: WireVersion,
        /// What this build speaks.
        here: Speaks,
    },
    /// The engine stopped by itself.
    #[error("the broker cannot go on")]
    Failed(#[source] Fault),
}

/// How one run of all of a broker's parts ended.
enum End {
    /// As it was told to.
    Stopped,
    /// These data stand on a lower claim than the peer's.
    Outbid(Claim),
    /// The cluster has come to a wire version that this build does not speak.
    Outgrown(WireVersion),
}

/// Runs a broker until `shutdown` resolves.
///
/// # Errors
/// [`BrokerError`]: it does not start, and nothing was changed; or it cannot go on.
pub async fn run(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), BrokerError> {
    // What cluster managers say is heard also while all else is started anew.
    let (mut asks, _listening) = match ha::listen(&settings) {
        Ok(listener) => ha::serve(listener),
        Err(cause) if settings.pair.is_some() => return Err(BrokerError::Socket(cause)),
        Err(cause) => {
            debug!(%cause, "No socket for `abide ha`");
            let (_, nobody) = mpsc::channel(1);
            (nobody, JoinSet::new())
        }
    };
    let mut shutdown = pin!(shutdown);
    loop {
        match run_once(&settings, shutdown.as_mut(), &mut asks).await? {
            End::Stopped => return Ok(()),
            End::Outbid(lower) => {
                pair::set_aside(&settings.data_dir, lower).map_err(BrokerError::Aside)?;
            }
            End::Outgrown(cluster) => {
                return Err(BrokerError::Outgrown { cluster, here: Speaks::here(None) });
            }
        }
    }
}

async fn run_once(
    settings: &Settings,
    shutdown: Pin<&mut impl Future<Output = ()>>,
    asks: &mut mpsc::Receiver<Ask>,
) -> Result<End, BrokerError> {
    pair::finish_setting_aside(&settings.data_dir).map_err(BrokerError::Aside)?;
    let identity = BrokerIdentity::load(&settings.identity_dir).map_err(BrokerError::Identity)?;
    let certificate = web_certificate(settings, &identity)?;
    let backend = login_backend(settings)?;
    let (web, agents) = (listen(settings.http).await?, listen(settings.agents).await?);
    let place = service_address::look(settings).map_err(BrokerError::ServiceAddress)?;
    let others = Peers::new(&identity.identity, timing::engine(settings.timing).timing);
    let files = Files::new(&settings.identity_dir);
    let peer = settings.pair.as_ref().map(|it| it.peer.clone());
    let mut known = files.brokers().map_err(BrokerError::Formation)?;
    known.extend(peer.filter(|peer| !known.contains(peer)));
    keep_one_table(settings, &files, &known, &others).await.map_err(BrokerError::Formation)?;
    let raft = start_engine(settings, &identity, &files, &others).await?;
    // Dropped with this function, as the broker is over then.
    let _pid = pid::claim(&settings.data_dir).map_err(BrokerError::Pid)?;
    let pair = Pair::open(settings).map_err(BrokerError::Aside)?;
    if pair::meet(&pair, &others, &raft).await.is_some() {
        let lower = raft.claim();
        cut(&raft).await;
        return Ok(End::Outbid(lower));
    }
    let audit = AuditLog::open(settings.data_dir.join("audit.jsonl"))
        .map_err(|cause| BrokerError::Login(Box::new(cause)))?;
    let (tell, failures) = mpsc::channel(peers::FAILURES);
    let throttle = Throttle::telling(tell);
    let logins = LoginDesk::new(identity.id().clone(), backend, throttle.clone(), audit.clone());
    let broker = Broker::new(raft.clone(), identity, audit, others, pair, settings.clone());

    let mut tasks = JoinSet::new();
    let stop = watch::Sender::new(false);
    if let Some(certificate) = certificate.clone() {
        tasks.spawn(certificate.keep_fresh(CERTIFICATE_CHECK));
    }
    tasks.spawn(renewal::keep(broker.clone()));
    tasks.spawn(clock::keep(broker.clone()));
    tasks.spawn(peers::compare_clocks(broker.clone()));
    tasks.spawn(speech::keep(broker.clone()));
    tasks.spawn(broker.clone().publish());
    tasks.spawn(peers::enroll(broker.clone(), known.clone()));
    tasks.spawn(peers::tell_failures(broker.clone(), failures));
    tasks.spawn(files.keep_brokers(broker.clone(), known));
    tasks.spawn(driver::run(broker.clone()));
    tasks.spawn(load_history::keep(broker.clone()));
    tasks.spawn(hearsay::tell(broker.clone()));
    tasks.spawn(hearsay::keep_lines(broker.clone()));
    tasks.spawn(pair::greet(broker.clone()));
    tasks.spawn(pair::tidy(broker.clone()));
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
        () = shutdown => Ok(End::Stopped),
        _higher = pair::keep(&broker, asks) => Ok(End::Outbid(raft.claim())),
        cluster = broker.speeches.outgrown() => Ok(End::Outgrown(cluster)),
        fault = raft.failed() => Err(BrokerError::Failed(fault)),
    };
    drop(holder);
    match &end {
        Ok(End::Stopped) => {
            stop.send_replace(true);
            stop_in_order(&raft).await;
            pair::retire(&broker).await;
        }
        Ok(End::Outbid(_) | End::Outgrown(_)) => {
            stop.send_replace(true);
            cut(&raft).await;
        }
        Err(_) => {
            error!("The broker stops: it cannot write any more");
            stop.send_replace(true);
            stop_in_order(&raft).await;
        }
    }
    tasks.shutdown().await;
    info!("Broker stopped");
    end
}

async fn stop_in_order(raft: &Raft<Replica>) {
    if let Err(cause) = raft.stop().await {
        let cause: &dyn std::error::Error = &cause;
        warn!(cause, "The data folder was not closed in order");
    }
}

/// Nobody confirms what waits: it is not waited for.
async fn cut(raft: &Raft<Replica>) {
    if let Err(cause) = raft.cut().await {
        let cause: &dyn std::error::Error = &cause;
        warn!(cause, "The data folder was not closed in order");
    }
}

/// A table that is there is not made anew beside it: a mark that says so is taken back, and this broker joins.
async fn keep_one_table(
    settings: &Settings,
    files: &Files,
    known: &[String],
    others: &Peers,
) -> Result<(), FormationError> {
    if files.marked()? != Some(Mark::Recover) || !formation::is_empty(&settings.data_dir) {
        return Ok(());
    }
    if let Some(leader) = peers::find_leader(others, known, &settings.agent_address).await {
        warn!(
            leader,
            "Another broker has this cluster's table: this one joins it, and makes none anew"
        );
        files.consume()?;
    }
    Ok(())
}

async fn start_engine(
    settings: &Settings,
    identity: &BrokerIdentity,
    files: &Files,
    peers: &Peers,
) -> Result<Raft<Replica>, BrokerError> {
    let me = Peer { address: settings.agent_address.clone(), name: identity.id().to_string() };
    let peer = settings.pair.as_ref().map(|it| it.peer.as_str());
    let formation =
        files.formation(me, &settings.data_dir, peer).map_err(BrokerError::Formation)?;
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
