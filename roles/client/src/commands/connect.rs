//! `abide connect`.

use std::net::SocketAddr;
use std::path::PathBuf;

use abide_api::{Note, ProblemKind, Session, SessionReply, StartRequest, Want};
use tokio::sync::watch;

use super::console::{answer, tell};
use super::kept::{self, Kept};
use super::sessions::resolve;
use super::{CommandError, words};
use crate::api::{Api, WishKey};
use crate::attach::{
    Attachment, Ending, Local, News, Socket, Viewer, Way, enter, find_viewer, notes,
};
use crate::error::CallError;
use crate::passes::Desktop;
use crate::store::Store;

/// What `abide connect` is told.
#[derive(Debug)]
pub struct ConnectOptions {
    /// Which desktop.
    pub target: Target,
    /// The local end.
    pub through: Through,
}

/// Which desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The newest, or a new one of this profile if there is none.
    ResumeOrStart(Option<String>),
    /// Another one, of this profile.
    New(Option<String>),
    /// This one; the id, or its beginning.
    Session(String),
}

/// The local end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Through {
    /// TigerVNC's viewer if there is one, else the portal's link.
    Viewer,
    /// A Unix socket at this path.
    Socket(PathBuf),
    /// A port on loopback, with a password.
    Port(SocketAddr),
}

/// Stands on a desktop's line until the person leaves or the session is over.
///
/// # Errors
/// [`CommandError`].
pub async fn connect(store: &Store, options: ConnectOptions) -> Result<(), CommandError> {
    let api = super::api(store)?;
    let Some(local) = local_end(&options.through).await? else {
        let reply = reach(&api, store, &options.target).await?;
        return link_instead(&api, &reply.session.id);
    };
    let passes = store.passes();
    let (way, kept) = match kept::way_back(&api, passes, &options.target).await? {
        Some((way, kept)) => {
            announce(&local, &options.through, &kept.desktop)?;
            (way, kept)
        }
        None => {
            let reply = reach(&api, store, &options.target).await?;
            let Session { agent_name: server, profile, .. } = reply.session.clone();
            let kept = Kept::new(passes, Desktop { server, profile });
            announce(&local, &options.through, &kept.desktop)?;
            let way = enter(&api, reply).await?;
            kept.keep(&way);
            (way, kept)
        }
    };
    let (newest, ways) = watch::channel(way.clone());
    let renewed = |way: &Way| {
        kept.keep(way);
        newest.send_replace(way.clone());
    };
    let attachment = Attachment::new(&api, way, &say).telling_of_renewals(&renewed);
    let listening = notes(api.brokers().http(), ways, &note);
    let ending = tokio::select! {
        ending = attachment.run(local) => ending?,
        () = listening => unreachable!("notes are listened to for ever"),
    };
    kept.end(&ending)?;
    tell_end(ending)
}

fn tell_end(ending: Ending) -> Result<(), CommandError> {
    match ending {
        Ending::PersonLeft => tell("Disconnected. Your desktop goes on; come back: abide connect"),
        Ending::TakenOver => return Err(CommandError::TakenOver),
        Ending::Over { lost: true, reason } => return Err(CommandError::SessionLost(reason)),
        Ending::Over { lost: false, reason } => {
            tell(&format!("The desktop has ended{}.", words::because(reason.as_deref())));
        }
        Ending::PassRefused => return Err(CommandError::PassRefused),
    }
    Ok(())
}

/// Prepared before anything is started, so that a taken port starts no desktop.
async fn local_end(through: &Through) -> Result<Option<Local>, CommandError> {
    let failed = |place: String| move |cause| CommandError::LocalEnd { place, cause };
    match through {
        Through::Viewer => find_viewer()
            .map(|program| Viewer::prepare(program).map(|it| Local::Viewer(Box::new(it))))
            .transpose()
            .map_err(failed("a private socket".to_owned())),
        Through::Socket(path) => Socket::bind(path.clone())
            .map(|socket| Some(Local::Socket(socket)))
            .map_err(failed(path.display().to_string())),
        Through::Port(address) => {
            Local::port(*address).await.map(Some).map_err(failed(address.to_string()))
        }
    }
}

async fn reach(api: &Api, store: &Store, target: &Target) -> Result<SessionReply, CommandError> {
    let key = WishKey::random();
    let (profile, want) = match target {
        Target::Session(name) => {
            let id = resolve(api, name).await?;
            let reply = api.connect(&id, &key).await;
            if let Err(error) = &reply
                && error.kind() == Some(ProblemKind::SessionEnded)
            {
                store.passes().forget(&id)?;
            }
            return Ok(reply?);
        }
        Target::ResumeOrStart(profile) => (profile.clone(), Want::ResumeOrStart),
        Target::New(profile) => (profile.clone(), Want::Start),
    };
    match api.start(&StartRequest { profile, want }, &key).await {
        Err(CallError::Refused { problem, session: Some(session) })
            if problem.known() == Some(ProblemKind::SessionUnreachable) =>
        {
            Err(CommandError::SessionUnreachable(session))
        }
        other => Ok(other?),
    }
}

fn announce(local: &Local, through: &Through, desktop: &Desktop) -> Result<(), CommandError> {
    let server = &desktop.server;
    match (local, through) {
        (Local::Socket(_), Through::Socket(path)) => {
            tell(&format!("Your desktop on {server} is at the socket below. Ctrl-C ends this."));
            answer(&path.display().to_string())?;
        }
        (Local::Port(listener, password), _) => {
            tell(&format!(
                "Your desktop on {server} is at this address, with this VNC password. Ctrl-C ends \
                 this."
            ));
            answer(&listener.local_addr()?.to_string())?;
            answer(password.text())?;
        }
        _ => tell(&format!("Opening your desktop on {server}. Closing the viewer ends nothing.")),
    }
    Ok(())
}

/// Without a viewer: where a browser shows it. The link is no way in by itself.
fn link_instead(api: &Api, id: &str) -> Result<(), CommandError> {
    tell(
        "TigerVNC's viewer is not installed here, or there is no display for it (Debian: apt \
         install tigervnc-viewer). In a browser, your desktop is at",
    );
    if let Some(broker) = api.brokers().urls().first() {
        answer(&format!("{broker}/#session={id}"))?;
    }
    Ok(())
}

fn note(note: Note) {
    if let Note::Limit { text: Some(text), ends_in_s } = note {
        let left = words::span(ends_in_s.unwrap_or(0));
        tell(&format!("{text} ({left} left)"));
    }
}

fn say(news: News) {
    tell(&match news {
        News::LineLost => "The connection was lost. Reconnecting…".to_owned(),
        News::LineBack => "Connected again.".to_owned(),
        News::Unreachable { since } => format!(
            "No broker has heard from the desktop's server since {}. The desktop may well be \
             running; this reconnects when the server is back.",
            words::since(since)
        ),
        News::OnlyHere => "The brokers reach the desktop's server, but this computer does not. \
             The fault is likely in the network between. The desktop goes on meanwhile."
            .to_owned(),
        News::Nobody => "Neither the desktop's server nor a broker answers. Is this computer's \
             network up? The desktop goes on meanwhile."
            .to_owned(),
    });
}
