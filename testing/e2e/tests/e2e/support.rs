//! Clusters and people, as the tests need them.

use std::time::{Duration, Instant};

use abide_api::{Redeemed, Session, SessionReply, StartRequest, Want};
use abide_client::{Api, OneSecret, WishKey};
use abide_cluster::{Cluster, Options, Profile, TestUser};
use abide_e2e::browser::{Tab, id};
use abide_e2e::image::Image;
use abide_e2e::rfb::Rfb;
use abide_e2e::scene;
use abide_e2e::wait::until;
use abide_e2e::x::Display;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A cluster, and its administrator's API.
pub struct World {
    pub cluster: Cluster,
    pub admin: Api,
}

/// Somebody who is logged in.
pub struct Person {
    pub user: TestUser,
    pub api: Api,
    /// For calls that the client would not make.
    pub token: Zeroizing<String>,
}

/// The desktop of one program: a photo, a bar that moves, a patch that shows the last key.
pub fn scene() -> Profile {
    Profile::new("scene", &[env!("CARGO_BIN_EXE_abide-e2e-scene")])
}

/// The demo's desktop.
pub fn xfce() -> Profile {
    Profile::new("xfce", &["startxfce4"])
}

impl World {
    pub async fn start(agents: u8, profile: Profile) -> Self {
        let options = Options::new().unwrap();
        Self::with(Options { agents, profiles: vec![profile], ..options }).await
    }

    pub async fn with(options: Options) -> Self {
        let cluster = Cluster::start(options).await.unwrap();
        let admin = cluster.log_in(cluster.admin()).await.unwrap();
        Self { cluster, admin }
    }

    pub async fn person(&self, name: &str) -> Person {
        self.log_in_as(self.cluster.add_user(name).unwrap()).await
    }

    /// The administrator as a person.
    pub async fn administrator(&self) -> Person {
        self.log_in_as(self.cluster.admin().clone()).await
    }

    async fn log_in_as(&self, user: TestUser) -> Person {
        let name = &user.name;
        let brokers = || self.cluster.ways().unwrap();
        let mut secret = OneSecret(Zeroizing::new(user.password.clone()));
        let token = brokers().login(name, &mut secret).await.unwrap().token;
        Person { user, api: Api::new(brokers(), token.clone()), token }
    }

    /// The broker's URL, and a path there.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.cluster.broker().url)
    }

    /// Which agent this session is on.
    pub fn agent_of(&self, session: &Session) -> usize {
        let agents = self.cluster.agents().iter();
        agents.clone().position(|it| it.name == session.agent_name).unwrap()
    }

    /// The session as the brokers tell it.
    pub async fn told(&self, session: &str) -> Option<Session> {
        let sessions = self.admin.sessions().await.unwrap().sessions;
        sessions.into_iter().find(|it| it.id == session)
    }

    /// Waits until brokers tell of the session what is wanted; gives how long that took.
    pub async fn until_told(
        &self,
        session: &str,
        what: &str,
        wanted: impl Fn(&Session) -> bool,
    ) -> (Session, Duration) {
        let began = Instant::now();
        let told = until(what, async || self.told(session).await.filter(|it| wanted(it))).await;
        (told.unwrap(), began.elapsed())
    }

    /// Waits until an agent that was started says that brokers can send people to it.
    pub async fn until_ready(&self, agent: usize) {
        let url = format!("{}/readyz", self.cluster.agents()[agent].url);
        until("the agent is ready", async || {
            let ready = http().get(&url).send().await;
            ready.is_ok_and(|it| it.status().is_success()).then_some(())
        })
        .await
        .unwrap();
    }

    /// Goes to the portal and logs in.
    pub async fn log_in(&self, tab: &Tab, user: &TestUser) {
        self.name_at(0, tab, user).await;
        answer(tab, user).await;
    }

    /// Goes to the portal of one broker, and says who one is: the password is asked for then.
    pub async fn name_at(&self, broker: usize, tab: &Tab, user: &TestUser) {
        let url = &self.cluster.brokers()[broker].url;
        tab.goto(&format!("{url}/")).await.unwrap();
        tab.fill(&id("username"), &user.name).await.unwrap();
        tab.click(&id("submit")).await.unwrap();
        tab.wait(&id("answer-0")).await.unwrap();
    }

    /// Logs in and opens the desktop.
    pub async fn open_desktop(&self, tab: &Tab, user: &TestUser) {
        self.log_in(tab, user).await;
        tab.click(&id("open-desktop")).await.unwrap();
        tab.reached("connected").await.unwrap();
    }
}

impl Person {
    /// The newest desktop, or a new one.
    pub async fn open(&self) -> SessionReply {
        self.want(Want::ResumeOrStart).await
    }

    /// Another desktop.
    pub async fn another(&self) -> SessionReply {
        self.want(Want::Start).await
    }

    async fn want(&self, want: Want) -> SessionReply {
        let request = StartRequest { profile: None, want };
        self.api.start(&request, &WishKey::random()).await.unwrap()
    }

    /// A fresh way into a session.
    pub async fn connect(&self, session: &str) -> SessionReply {
        self.api.connect(session, &WishKey::random()).await.unwrap()
    }

    /// The only session that the person ever had.
    pub async fn only_session(&self) -> Session {
        let mut sessions = self.api.sessions().await.unwrap().sessions;
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions.remove(0)
    }
}

/// Gives the password that a portal asks for.
pub async fn answer(tab: &Tab, user: &TestUser) {
    tab.fill(&id("answer-0"), &user.password).await.unwrap();
    tab.click(&id("submit")).await.unwrap();
    tab.reached("sessions").await.unwrap();
}

/// A client that follows nothing and believes no proxy.
pub fn http() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Brings a ticket to an agent: the answer's status and JSON.
pub async fn bring(redeem_url: &str, ticket: &str) -> (u16, Value) {
    let response = http().post(redeem_url).json(&json!({ "ticket": ticket })).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Exchanges a ticket that is good.
pub async fn redeem(reply: &SessionReply) -> Redeemed {
    let (status, answer) = bring(&reply.connect.redeem_url, &reply.connect.ticket).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_value(answer).unwrap()
}

/// Looks at a session with its own ticket.
pub async fn look(reply: &SessionReply) -> Rfb {
    let pass = redeem(reply).await.pass;
    Rfb::connect(&reply.connect.rfb_url, &pass).await.unwrap()
}

/// Waits until the X server of a scene's session has drawn it.
pub async fn scene_of(session: &str) -> Display {
    until("the scene is drawn", async || {
        let display = Display::of_session(session).ok()?;
        (photo_in(&display.screen().ok()?) == scene::photo()).then_some(display)
    })
    .await
    .unwrap()
}

/// Where the scene has its photo.
pub fn photo_in(screen: &Image) -> Image {
    screen.part(0, 0, scene::PHOTO, scene::PHOTO)
}

/// The scene's patch.
pub fn patch_in(screen: &Image) -> [u8; 3] {
    screen.pixel(scene::PATCH_X + scene::PATCH / 2, scene::PATCH / 2)
}

/// Whether JPEG, and nothing worse, is between these two.
pub fn alike(one: &Image, other: &Image) -> bool {
    one.difference(other).is_ok_and(|it| it.mean < 4.0 && it.share < 0.02)
}
