//! Starting and stopping.

use std::fs::DirBuilder;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use abide_ledger::{Ledger, OpenError, WriteError};
use abide_model::AgentId;
use abide_tls::{Identity, IdentityError, Node, WebCertificate, WebError};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::brokers::Streams;
use crate::clock::Clocks;
use crate::cluster::Cluster;
use crate::host;
use crate::join::known_brokers;
use crate::metrics::Metrics;
use crate::owner::{self, Handle, Owner};
use crate::policy::Policy;
use crate::renewal::Renewal;
use crate::settings::{RunAs, Settings, Tls};
use crate::web::{self, App, Listener};

/// How often the site's certificate files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(10);

/// Why an agent does not start, or does not go on. Sessions live on in either case.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its identity.
    #[error("cannot use the agent's identity; `abide agent join` makes one")]
    Identity(#[source] IdentityError),
    /// The identity is another role's.
    #[error("the identity in {} is a broker's, not an agent's", folder.display())]
    NotAnAgent {
        /// The folder.
        folder: PathBuf,
    },
    /// The brokers' addresses.
    #[error("cannot read the brokers' addresses in {}; `abide agent join` writes them", folder.display())]
    Brokers {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Its ledger.
    #[error(transparent)]
    Ledger(OpenError),
    /// What the ledger has of the cluster is no message of this version.
    #[error("the ledger's view of the cluster is damaged")]
    Cluster(#[source] prost::DecodeError),
    /// What the ledger has of the cluster's configuration is no message of this version.
    #[error("the ledger's configuration of the cluster is damaged")]
    Config(#[source] prost::DecodeError),
    /// The kernel does not say which boot this is.
    #[error("cannot tell this boot from others")]
    Boot(#[source] io::Error),
    /// The folder for sessions.
    #[error("cannot make {}", path.display())]
    RunDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Its certificate for browsers.
    #[error("cannot use the certificate for browsers")]
    Web(#[source] WebError),
    /// Its address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The ledger cannot be written any more.
    #[error("the agent cannot go on without its ledger")]
    Failed(#[source] WriteError),
}

/// Runs an agent until `shutdown` resolves: then viewers are sent away for the moment, and the
/// sessions live on.
///
/// # Errors
/// [`AgentError`]: it does not start, and nothing was changed; or it cannot go on.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let settings = Arc::new(settings);
    let identity = Identity::load(&settings.identity_dir).map_err(AgentError::Identity)?;
    let identity = Arc::new(identity);
    let me = agent_of(&identity, &settings)?;
    let known = known_brokers(&settings.identity_dir)
        .map_err(|cause| AgentError::Brokers { folder: settings.identity_dir.clone(), cause })?;
    let boot = host::boot_id().map_err(AgentError::Boot)?;
    let certificate = web_certificate(&settings, &identity)?;
    let (ledger, mut contents) = Ledger::open(&settings.data_dir).map_err(AgentError::Ledger)?;
    let stored = std::mem::take(&mut contents.cluster);
    let cluster = Cluster::restored(identity.cluster(), identity.root_key(), &stored, known)
        .map_err(AgentError::Cluster)?;
    let policy = Policy::restored(identity.cluster(), &std::mem::take(&mut contents.config))
        .map_err(AgentError::Config)?;
    let clocks = Arc::new(Clocks::restored(std::mem::take(&mut contents.clocks)));
    make_run_dir(&settings)?;
    let tls = certificate.as_ref().map(WebCertificate::server_config);
    let listener = Listener::bind(settings.http, tls)
        .await
        .map_err(|cause| AgentError::Listen { address: settings.http, cause })?;
    if let RunAs::AgentUser { .. } = settings.run_as {
        warn!("All sessions run as this agent's own user: people are not kept apart");
    }
    info!(agent = %me, url = %settings.public_url, sessions = contents.sessions.len(), "Agent starts");

    let metrics =
        Arc::new(Metrics::new(Arc::clone(&identity), certificate.clone(), policy.clone()));
    let parts = owner::Parts {
        me: me.clone(),
        boot: boot.clone(),
        settings: Arc::clone(&settings),
        cluster: cluster.clone(),
        policy: policy.clone(),
        ledger,
        metrics: Arc::clone(&metrics),
    };
    let (owner, handle) = Owner::new(parts, contents);
    let app = App::new(web::Parts {
        me,
        owner: handle.clone(),
        cluster: cluster.clone(),
        clocks: Arc::clone(&clocks),
        metrics: Arc::clone(&metrics),
        settings: Arc::clone(&settings),
    });
    let folder = settings.identity_dir.clone();
    let renewal = Renewal { identity: Arc::clone(&identity), folder, cluster: cluster.clone() };
    let streams = Streams {
        tls: identity.internal_client(),
        owner: handle.clone(),
        cluster,
        policy,
        clocks,
        metrics,
        settings,
        boot: boot.to_string(),
    };
    let mut others = JoinSet::new();
    others.spawn(web::serve(listener, app.router()));
    others.spawn(streams.keep());
    others.spawn(renewal.keep());
    if let Some(certificate) = certificate {
        others.spawn(certificate.keep_fresh(CERTIFICATE_CHECK));
    }
    abide_telemetry::tell_ready();
    let result = until(shutdown, owner, &handle, &mut others).await;
    info!("Agent stopped; its sessions live on");
    result
}

/// The owner's life: it ends when told to, or when its ledger fails.
async fn until(
    shutdown: impl Future<Output = ()>,
    owner: Owner,
    handle: &Handle,
    others: &mut JoinSet<()>,
) -> Result<(), AgentError> {
    let owner = owner.run();
    tokio::pin!(owner);
    let ended = tokio::select! {
        ended = &mut owner => ended,
        () = shutdown => {
            // Nobody new comes in while those who are in are sent away.
            others.shutdown().await;
            let (ended, ()) = tokio::join!(owner, handle.stop());
            ended
        }
    };
    ended.map_err(|cause| {
        error!(cause = &cause as &dyn std::error::Error, "The ledger failed: the agent stops");
        AgentError::Failed(cause)
    })
}

fn agent_of(identity: &Identity, settings: &Settings) -> Result<AgentId, AgentError> {
    match &identity.peer().node {
        Node::Agent(agent) => Ok(agent.clone()),
        Node::Broker(_) => Err(AgentError::NotAnAgent { folder: settings.identity_dir.clone() }),
    }
}

fn web_certificate(
    settings: &Settings,
    identity: &Identity,
) -> Result<Option<WebCertificate>, AgentError> {
    match &settings.tls {
        Tls::Off => Ok(None),
        Tls::Cluster => Ok(Some(WebCertificate::from_identity(identity))),
        Tls::Files { certificate, key } => {
            WebCertificate::from_files(certificate.clone(), key.clone())
                .map(Some)
                .map_err(AgentError::Web)
        }
    }
}

/// In login-user mode people's programs must get through it to their own session's folder.
fn make_run_dir(settings: &Settings) -> Result<(), AgentError> {
    let mode = match settings.run_as {
        RunAs::LoginUser { .. } => 0o755,
        RunAs::AgentUser { .. } => 0o700,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(&settings.run_dir)
        .map_err(|cause| AgentError::RunDir { path: settings.run_dir.clone(), cause })
}
