//! The brokers' API, one verb a call.

use std::time::Duration;

use abide_api::{
    Account, Agents, Cluster, Config, ConfigCheck, ConfigCheckRequest, ConfigHistory,
    ConfigRequest, ConfirmRequest, Confirmed, DrainReply, DrainRequest, ExpectRequest, JoinRole,
    JoinToken, JoinTokenRequest, LogoutRequest, Placement, Profiles, Recovery, SessionReply,
    SessionStatus, Sessions, StartRequest,
};
use abide_config::BaseUrl;
use reqwest::Method;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::brokers::Brokers;
use crate::call::{Call, Length};
use crate::error::CallError;

/// A leader that needs longer is not waited for where another broker has answered.
const LEADER_WITHIN: Duration = Duration::from_secs(1);

/// The API in the name of one person.
#[derive(Debug)]
pub struct Api {
    brokers: Brokers,
    token: Zeroizing<String>,
}

/// Whose start [`Api::placement`] is about.
#[derive(Debug, Clone, Default)]
pub struct PlacementQuery {
    /// Oneself if absent.
    pub user: Option<String>,
    /// Of that user.
    pub groups: Vec<String>,
    /// The default one if absent.
    pub profile: Option<String>,
}

/// One wish's name: a repeated try of the same wish is known as a repeat by it.
#[derive(Debug, Clone)]
pub struct WishKey(String);

impl WishKey {
    /// A new one, random.
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }
}

impl Api {
    /// Calls with this token.
    pub fn new(brokers: Brokers, token: Zeroizing<String>) -> Self {
        Self { brokers, token }
    }

    /// The same with another bound on how long a call goes on asking.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { brokers: self.brokers.with_patience(patience), ..self }
    }

    /// The brokers behind it.
    pub fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// Who the token says one is.
    ///
    /// # Errors
    /// [`CallError`], as for all verbs here.
    pub async fn account(&self) -> Result<Account, CallError> {
        self.get("/api/v1/account").await
    }

    /// One's sessions; for administrators everybody's.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn sessions(&self) -> Result<Sessions, CallError> {
        self.get("/api/v1/sessions").await
    }

    /// A session, and a way into it. A try that is repeated under the same key starts nothing more.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn start(
        &self,
        request: &StartRequest,
        key: &WishKey,
    ) -> Result<SessionReply, CallError> {
        let call = self.call(Method::POST, "/api/v1/sessions").body(request);
        self.brokers.call(wish(call, key)).await
    }

    /// A way into this session.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn connect(&self, session: &str, key: &WishKey) -> Result<SessionReply, CallError> {
        let path = format!("/api/v1/sessions/{session}/connect");
        self.brokers.call(wish(self.call(Method::POST, &path), key)).await
    }

    /// Ends the session with all its programs.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn end(&self, session: &str) -> Result<(), CallError> {
        let path = format!("/api/v1/sessions/{session}");
        let call = self.call(Method::DELETE, &path);
        self.brokers.command(long(call)).await
    }

    /// Stops tracking a session that cannot be reached.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn abandon(&self, session: &str) -> Result<(), CallError> {
        let path = format!("/api/v1/sessions/{session}/abandon");
        self.brokers.command(self.call(Method::POST, &path)).await
    }

    /// The kinds of desktop on offer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn profiles(&self) -> Result<Profiles, CallError> {
        self.get("/api/v1/profiles").await
    }

    /// Where a start of this user's would go, and why; of oneself if none is named.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn placement(&self, asked: &PlacementQuery) -> Result<Placement, CallError> {
        let path = "/api/v1/placement?";
        let mut query = url::form_urlencoded::Serializer::for_suffix(path.to_owned(), path.len());
        query.extend_pairs(asked.user.iter().map(|user| ("user", user)));
        if !asked.groups.is_empty() {
            query.append_pair("groups", &asked.groups.join(","));
        }
        query.extend_pairs(asked.profile.iter().map(|profile| ("profile", profile)));
        self.get(&query.finish()).await
    }

    /// The agents.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn agents(&self) -> Result<Agents, CallError> {
        self.get("/api/v1/agents").await
    }

    /// Takes an agent out of service, or changes how. A try that is repeated changes its deadline alone.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn drain(
        &self,
        agent: &str,
        request: &DrainRequest,
    ) -> Result<DrainReply, CallError> {
        let path = format!("/api/v1/agents/{agent}/drain");
        self.brokers.call(long(self.call(Method::PUT, &path)).body(request)).await
    }

    /// Puts an agent back into service.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn undrain(&self, agent: &str) -> Result<(), CallError> {
        let path = format!("/api/v1/agents/{agent}/drain");
        self.brokers.command(long(self.call(Method::DELETE, &path))).await
    }

    /// The brokers, and who leads. Those that it names are known from then on.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn cluster(&self) -> Result<Cluster, CallError> {
        let cluster: Cluster = self.get("/api/v1/cluster").await?;
        let urls = cluster.brokers.iter();
        self.brokers.learn(urls.filter_map(|broker| broker.url.parse::<BaseUrl>().ok()));
        Ok(cluster)
    }

    /// The same as the leader tells it, who alone knows how far each follower is; as another tells it
    /// where the leader does not answer at once.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn cluster_by_leader(&self) -> Result<Cluster, CallError> {
        let told = self.cluster().await?;
        if told.leader.as_ref() == Some(&told.answered_by) {
            return Ok(told);
        }
        let leader = told.brokers.iter().find(|it| Some(&it.id) == told.leader.as_ref());
        let Some(Ok(url)) = leader.map(|leader| leader.url.parse()) else {
            return Ok(told);
        };
        let call = self.call(Method::GET, "/api/v1/cluster");
        Ok(self.brokers.ask(&url, call, LEADER_WITHIN).await.unwrap_or(told))
    }

    /// Takes a broker that is gone for good out of the cluster, and its signatures with it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove_broker(&self, broker: &str) -> Result<(), CallError> {
        let path = format!("/api/v1/cluster/brokers/{broker}");
        self.brokers.command(long(self.call(Method::DELETE, &path))).await
    }

    /// A one-time token with which a machine joins.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn join_token(
        &self,
        role: JoinRole,
        valid_for_s: Option<u32>,
    ) -> Result<JoinToken, CallError> {
        let request = JoinTokenRequest { role, valid_for_s };
        let call = self.call(Method::POST, "/api/v1/cluster/tokens");
        self.brokers.call(call.body(&request)).await
    }

    /// How far the making anew of a lost table is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn recovery(&self) -> Result<Recovery, CallError> {
        self.get("/api/v1/cluster/recovery").await
    }

    /// Names agents that must have reported before sessions are placed again.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn expect_agents(&self, agents: Vec<String>) -> Result<Recovery, CallError> {
        let request = ExpectRequest { agents };
        let call = self.call(Method::POST, "/api/v1/cluster/recovery/expect");
        self.brokers.call(call.body(&request)).await
    }

    /// Has sessions placed again, whoever has not reported.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn place_again(&self) -> Result<Recovery, CallError> {
        self.brokers.call(self.call(Method::POST, "/api/v1/cluster/recovery/go")).await
    }

    /// Vouches for what an agent lists; how many sessions were taken in.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn confirm_agent(&self, agent: String) -> Result<Confirmed, CallError> {
        let request = ConfirmRequest { agent };
        let call = self.call(Method::POST, "/api/v1/cluster/recovery/confirm");
        self.brokers.call(call.body(&request)).await
    }

    /// The cluster's configuration in force.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn config(&self) -> Result<Config, CallError> {
        self.get("/api/v1/config").await
    }

    /// A version that is kept.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn config_version(&self, number: u64) -> Result<Config, CallError> {
        self.get(&format!("/api/v1/config/{number}")).await
    }

    /// The versions that are kept, the one in force first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn config_history(&self) -> Result<ConfigHistory, CallError> {
        self.get("/api/v1/config/history").await
    }

    /// What is wrong with a text.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn check_config(&self, text: &str) -> Result<ConfigCheck, CallError> {
        let request = ConfigCheckRequest { text: text.to_owned() };
        let call = self.call(Method::POST, "/api/v1/config/check");
        self.brokers.call(call.body(&request)).await
    }

    /// Takes another configuration into force. A try that is repeated changes nothing more.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn put_config(&self, request: &ConfigRequest) -> Result<Config, CallError> {
        let call = self.call(Method::PUT, "/api/v1/config").body(request);
        self.brokers.call(long(call)).await
    }

    /// Ends this token, or all of the person's tokens and passes. Ends no desktop.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn logout(&self, everywhere: bool) -> Result<(), CallError> {
        let request = LogoutRequest { everywhere };
        let call = self.call(Method::POST, "/api/v1/logout");
        self.brokers.command(call.body(&request)).await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.brokers.call(self.call(Method::GET, path)).await
    }

    fn call<'a>(&'a self, method: Method, path: &'a str) -> Call<'a> {
        Call { token: Some(&self.token), ..Call::new(method, path) }
    }
}

impl Brokers {
    /// What became of the session that this status token is for.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status(&self, session: &str, token: &str) -> Result<SessionStatus, CallError> {
        let path = format!("/api/v1/sessions/{session}/status");
        self.call(Call { token: Some(token), ..Call::new(Method::GET, &path) }).await
    }
}

fn wish<'a>(call: Call<'a>, key: &'a WishKey) -> Call<'a> {
    Call { key: Some(&key.0), ..long(call) }
}

fn long(call: Call<'_>) -> Call<'_> {
    Call { length: Length::Long, ..call }
}
