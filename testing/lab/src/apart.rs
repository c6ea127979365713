//! An agent that the leader alone cannot reach: nobody is told that it cannot be reached, and everything
//! can be done there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use abide_api::{SessionReply, SessionState, StartRequest, Want};
use abide_client::{Api, WishKey};
use anyhow::{Context, anyhow, ensure};
use serde::Serialize;
use tokio::task::JoinHandle;

/// Between two looks at what the brokers say.
const LOOK: Duration = Duration::from_millis(50);

/// Somebody with a desktop on that agent, who gets all further ones there too.
#[derive(Debug)]
pub struct Tenant {
    api: Arc<Api>,
    /// The desktop.
    pub session: String,
    /// The agent's id.
    pub agent: String,
}

/// What is done while the agent is apart. Dropped, it stops.
#[derive(Debug)]
pub struct Deeds(JoinHandle<anyhow::Result<Done>>);

/// That all of it was possible, and when since it was begun, milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// The session that was started.
    pub session: String,
    /// It was begun to be connected to.
    pub connected_ms: f64,
    /// The other ran.
    pub started_ms: f64,
    /// The first had ended, on its agent too.
    pub ended_ms: f64,
}

impl Tenant {
    /// Moves in, wherever placement says.
    ///
    /// # Errors
    /// When no session starts.
    pub async fn move_in(api: Arc<Api>) -> anyhow::Result<Self> {
        let session = start(&api).await?.session;
        Ok(Self { api, session: session.id, agent: session.agent })
    }

    /// Begins to do all that can be done. The agent is apart until `end`.
    pub fn act(self, end: Instant) -> Deeds {
        Deeds(tokio::spawn(async move {
            let deeds = async {
                let done = tokio::time::timeout_at(end.into(), self.do_all()).await;
                let done = done.context("not while the agent was apart")??;
                tokio::time::sleep_until(end.into()).await;
                anyhow::Ok(done)
            };
            tokio::select! {
                done = deeds => done,
                told = self.watch() => Err(told),
            }
        }))
    }

    /// Comes back to the desktop, starts another, and ends the first.
    async fn do_all(&self) -> anyhow::Result<Done> {
        let began = Instant::now();
        let ms = || began.elapsed().as_secs_f64() * 1e3;
        self.api.connect(&self.session, &WishKey::random()).await.context("connect")?;
        let connected_ms = ms();
        let another = start(&self.api).await.context("start")?.session;
        ensure!(another.agent == self.agent, "placed elsewhere: {another:?}");
        let started_ms = ms();
        self.api.end(&self.session).await.context("end")?;
        while self.state().await? != Some(SessionState::Ended) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(Done { session: another.id, connected_ms, started_ms, ended_ms: ms() })
    }

    async fn state(&self) -> anyhow::Result<Option<SessionState>> {
        let sessions = self.api.sessions().await?.sessions;
        Ok(sessions.into_iter().find(|it| it.id == self.session).map(|it| it.state))
    }

    /// Returns when anything of this person's is said to be unreachable.
    async fn watch(&self) -> anyhow::Error {
        loop {
            let sessions = match self.api.sessions().await {
                Ok(listed) => listed.sessions,
                Err(error) => return error.into(),
            };
            if let Some(told) = sessions.iter().find(|it| it.unreachable_since.is_some()) {
                return anyhow!("said to be unreachable: {told:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Deeds {
    /// Waits until the agent is apart no more.
    ///
    /// # Errors
    /// What people were promised and did not get.
    pub async fn done(mut self) -> anyhow::Result<Done> {
        (&mut self.0).await?
    }
}

impl Drop for Deeds {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn start(api: &Api) -> anyhow::Result<SessionReply> {
    let request = StartRequest { profile: None, want: Want::Start };
    Ok(api.start(&request, &WishKey::random()).await?)
}
