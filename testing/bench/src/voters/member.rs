//! One voter: its engine, and the listener by which the others reach it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use abide_broker::Replica;
use abide_peers::{ConsensusService, Lines, Wire, serve_node};
use abide_raft::{Formation, Raft, Settings, Start};
use abide_tls::{Clients, Identity};
use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

/// A running voter.
pub struct Member {
    pub raft: Raft<Replica>,
    /// The listener and its connections, which end with this value.
    _serving: JoinSet<()>,
}

impl Member {
    /// Starts it; the others reach it when this returns.
    pub async fn start(
        identity: &Identity,
        data: &Path,
        address: SocketAddr,
        formation: Formation,
    ) -> anyhow::Result<Self> {
        let settings = Settings::default();
        // As a broker does it.
        let lines = Lines::new(identity.internal_client(), settings.timing.lease * 2);
        let start = Start {
            folder: data.to_owned(),
            cluster: identity.cluster().0,
            formation,
            settings,
            transport: Arc::new(Wire(lines)),
        };
        let listener = TcpListener::bind(address).await.with_context(|| address.to_string())?;
        let raft = Raft::start(Replica::default(), start).await?;
        let acceptor = TlsAcceptor::from(identity.internal_server(Clients::Nodes));
        let routes = Routes::new(ConsensusService::server(raft.clone(), |_| true)).prepare();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, acceptor, routes));
        Ok(Self { raft, _serving: serving })
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, routes: Routes) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        connections.spawn(async move {
            // As a broker's listener does: small answers must not wait for each other.
            let _ = stream.set_nodelay(true);
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = serve_node(stream, routes).await;
            }
        });
    }
}
