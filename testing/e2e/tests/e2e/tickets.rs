//! Tickets that open nothing, and those that must in spite of a wrong clock.

use abide_api::SessionReply;
use abide_auth::{Issuer, TicketGrant};
use abide_cluster::clock_off_by;
use abide_model::Timestamp;
use abide_ticket::{SigningKey, ViewMode};
use abide_tls::BrokerIdentity;
use serde_json::Value;

use crate::support::{World, bring, look, redeem, scene, scene_of};

/// Asserts that the agent refuses, and gives its reason.
async fn refused(redeem_url: &str, ticket: &str, what: &str) -> String {
    let (status, answer) = bring(redeem_url, ticket).await;
    assert_eq!(status, 401, "{what}: {answer}");
    assert_eq!(answer["type"], "urn:abide:problem/pass-refused", "{what}: {answer}");
    assert_eq!(answer.get("pass"), None, "{what}");
    answer["detail"].as_str().expect("a reason").to_owned()
}

fn grant(reply: &SessionReply) -> TicketGrant {
    TicketGrant {
        session: reply.session.id.parse().unwrap(),
        agent: reply.session.agent.parse().unwrap(),
        user: reply.session.user.parse().unwrap(),
        mode: ViewMode::Control,
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// The ticket with one character of its content, or of its signature, changed.
fn forged(ticket: &str) -> [String; 2] {
    let body = ticket.rsplit_once('.').unwrap().0.len();
    [body / 2, body - 8].map(|at| {
        let other = if ticket.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &ticket[..at], &ticket[at + 1..])
    })
}

#[tokio::test]
async fn a_ticket_opens_its_own_session_once_and_nothing_else() {
    let mut world = World::start(2, scene()).await;
    let ada = world.person("ada").await;
    let first = ada.open().await;
    let url = first.connect.redeem_url.clone();
    let identity = BrokerIdentity::load(&world.cluster.broker().dir.join("identity")).unwrap();
    let cluster = identity.identity.cluster();
    let broker = Issuer::new(cluster, identity.signing);
    let stranger = Issuer::new(cluster, SigningKey::from_seed(&[7; 32]));

    for (number, ticket) in forged(&first.connect.ticket).iter().enumerate() {
        refused(&url, ticket, &format!("forged, {number}")).await;
    }
    refused(&url, &stranger.ticket(grant(&first), now()).0, "signed by a stranger").await;
    refused(&url, &ada.token, "a login token").await;
    refused(&url, "", "nothing").await;
    refused(&url, "v4.public.", "hardly anything").await;
    let minute_ago = Timestamp(now().0 - 60_000);
    refused(&url, &broker.ticket(grant(&first), minute_ago).0, "expired").await;
    let in_a_minute = now().plus(60_000);
    refused(&url, &broker.ticket(grant(&first), in_a_minute).0, "not valid yet").await;

    let other = world.cluster.agents().iter().find(|it| it.name != first.session.agent_name);
    let elsewhere = format!("{}/api/v1/redeem", other.unwrap().url);
    refused(&elsewhere, &first.connect.ticket, "at another agent").await;

    let redeemed = redeem(&first).await;
    assert_eq!(redeemed.session, first.session.id);
    let used = refused(&url, &first.connect.ticket, "replayed").await;
    assert!(used.contains("used already"), "{used}");
    let host = world.agent_of(&first.session);
    world.cluster.kill_agent(host);
    world.cluster.start_agent(host).unwrap();
    world.until_ready(host).await;
    let again = refused(&url, &first.connect.ticket, "replayed after the agent's restart").await;
    assert_eq!(again, used);

    // None of this cost the real one anything.
    scene_of(&first.session.id).await;
    look(&ada.connect(&first.session.id).await).await;
    let status = status_with(&world, &first, &redeemed.status_token).await;
    assert_eq!(status["viewers"], Value::Null, "a status token tells of the session's life alone");
}

async fn status_with(world: &World, reply: &SessionReply, token: &str) -> Value {
    let url = world.url(&format!("/api/v1/sessions/{}/status", reply.session.id));
    let response = crate::support::http().get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn people_get_in_though_their_agents_clock_is_ten_minutes_off() {
    let mut world = World::start(2, scene()).await;
    for (index, offset) in ["+600", "-600"].into_iter().enumerate() {
        world.cluster.kill_agent(index);
        world.cluster.put_agent_under(index, &clock_off_by(offset).unwrap());
        world.cluster.start_agent(index).unwrap();
    }
    world.cluster.until_agents_are_heard(&world.admin).await.unwrap();
    let mut hosts = std::collections::BTreeSet::new();
    for name in ["ada", "bob"] {
        let person = world.person(name).await;
        let reply = person.open().await;
        look(&reply).await.longest_gap(10).await.unwrap();
        hosts.insert(reply.session.agent_name.clone());
        // Ended for their age, not for the clock: one that is a minute old is refused here too.
        let identity = BrokerIdentity::load(&world.cluster.broker().dir.join("identity")).unwrap();
        let issuer = Issuer::new(identity.identity.cluster(), identity.signing);
        let old = issuer.ticket(grant(&reply), Timestamp(now().0 - 60_000)).0;
        refused(&reply.connect.redeem_url, &old, "expired, by its issuer's clock").await;
    }
    assert_eq!(hosts.len(), 2, "both agents were tried");
    let offsets = world.admin.agents().await.unwrap().agents;
    for agent in offsets {
        let offset = agent.load.unwrap().clock_offset_ms;
        assert!((590_000..610_000).contains(&offset), "{}: {offset} ms", agent.name);
    }
}
