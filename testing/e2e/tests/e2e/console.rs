//! The administrators' console, against a real cluster: its numbers are the interface's, and those are the
//! command line's.

use std::collections::BTreeMap;

use abide_cluster::{Options, Profile};
use abide_e2e::browser::{Browser, Tab, id};
use serde_json::{Value, json};

use crate::command_line::CommandLine;
use crate::support::{Person, World, http};

#[tokio::test]
async fn every_number_of_the_console_is_the_interfaces_and_the_command_lines() {
    let options = Options::new().unwrap();
    let profiles = vec![Profile::plain()];
    let mut world = World::with(Options { brokers: 3, agents: 2, profiles, ..options }).await;
    let admin = world.administrator().await;
    let line = CommandLine::of(&world, &admin).await;
    for name in ["ada", "berta", "carl"] {
        let person = world.person(name).await;
        person.open().await;
    }
    let browser = Browser::start("console").await.unwrap();
    let tab = enter(&world, &browser, &admin).await;

    tab.wait(&format!("{}[data-total=\"3\"]", id("grid"))).await.unwrap();
    tab.shoot("sessions").await.unwrap();
    let told = line.json(&["session", "list", "--json"]).await;
    assert_eq!(told, get(&world.url("/api/v1/sessions"), &admin).await);
    assert_eq!(number(&tab, "total").await, told["total"]);
    assert_eq!(number(&tab, "running").await, told["counts"]["running"]);
    for session in told["sessions"].as_array().unwrap() {
        let row = row(&tab, &session["id"]).await;
        for shown in ["user", "agent_name", "profile", "viewers"] {
            let text = session[shown].as_str().map_or(session[shown].to_string(), str::to_owned);
            assert!(row.contains(&text), "{row} has no {shown} {text}");
        }
    }

    go(&tab, "agents").await;
    tab.wait(&format!("{}[data-total=\"2\"]", id("grid"))).await.unwrap();
    tab.shoot("agents").await.unwrap();
    let told = line.json(&["agent", "list", "--json"]).await;
    let agents = told["agents"].as_array().unwrap();
    assert_eq!(number(&tab, "total").await, agents.len());
    for agent in agents {
        let selector = format!("{} .sessions", row_of(&agent["id"]));
        let shown = tab.attribute(&selector, "data-value").await.unwrap().unwrap();
        let sessions = agent["sessions"].as_u64().unwrap() + agent["reserved"].as_u64().unwrap();
        assert_eq!(shown, sessions.to_string(), "{agent}");
    }
    tab.click(&row_of(&agents[0]["id"])).await.unwrap();
    tab.wait(&format!("{} canvas", id("history"))).await.unwrap();
    tab.shoot("agent").await.unwrap();

    go(&tab, "cluster").await;
    tab.wait(&id("broker")).await.unwrap();
    tab.shoot("cluster").await.unwrap();
    let told = line.json(&["cluster", "status", "--json"]).await;
    for (shown, field) in [
        ("can-lose", "can_lose"),
        ("voters", "voters"),
        ("generation", "generation"),
        ("term", "term"),
    ] {
        assert_eq!(number(&tab, shown).await, told[field], "{field}");
    }
    assert_eq!(roles(&tab, &told).await, roles_told(&told));

    go(&tab, "placement").await;
    tab.fill(&id("user-name"), "ada").await.unwrap();
    tab.click(&id("explain")).await.unwrap();
    tab.wait(&id("answer")).await.unwrap();
    tab.shoot("placement").await.unwrap();
    let told = line.json(&["placement", "explain", "ada", "--json"]).await;
    let taken = tab.attribute(&id("answer"), "data-taken").await.unwrap();
    assert_eq!(told["taken"], json!(taken));
    for agent in told["agents"].as_array().unwrap() {
        let row = format!("{}[data-id={}]", id("explained"), agent["id"]);
        let verdict = tab.attribute(&row, "data-verdict").await.unwrap();
        let sessions = tab.text(&format!("{row} {}", id("explained-sessions"))).await.unwrap();
        assert_eq!(
            (&json!(verdict), &sessions),
            (&agent["verdict"], &agent["sessions"].to_string())
        );
    }

    go(&tab, "configuration").await;
    tab.fill(&id("editor"), "[limits]\nidle = \"soon\"\n").await.unwrap();
    tab.click(&id("review-open")).await.unwrap();
    tab.wait(&id("problems")).await.unwrap();
    tab.shoot("configuration-problem").await.unwrap();
    assert!(tab.text(&id("problems")).await.unwrap().starts_with("Line 2"));
    tab.fill(&id("editor"), "[limits]\nidle = \"8h\"\n").await.unwrap();
    tab.click(&id("review-open")).await.unwrap();
    tab.click(&id("apply")).await.unwrap();
    tab.wait(&format!("{}[data-value=\"1\"]", id("version"))).await.unwrap();
    let told = line.json(&["config", "show", "--json"]).await;
    assert_eq!((&told["version"], &told["text"]), (&json!(1), &json!("[limits]\nidle = \"8h\"\n")));

    go(&tab, "audit").await;
    tab.wait(&id("row")).await.unwrap();
    tab.shoot("audit").await.unwrap();
    let mut starts = 0;
    for broker in world.cluster.brokers() {
        let url = format!("{}/api/v1/audit?decision=start", broker.url);
        starts += get(&url, &admin).await["records"].as_array().unwrap().len();
    }
    assert_eq!(starts, 3);
    tab.choose(&id("by-decision"), "start").await.unwrap();
    tab.wait(&format!("{}[data-total=\"3\"]", id("grid"))).await.unwrap();

    // The page's own broker dies: it goes on at another, which tells of the death.
    let leader = world.cluster.leader(&world.admin).await.unwrap();
    go(&tab, "cluster").await;
    tab.wait(&id("broker")).await.unwrap();
    world.cluster.kill_broker(leader);
    tab.wait(&id("silent")).await.unwrap();
    tab.wait(&format!("{}[data-value=\"0\"]", id("can-lose"))).await.unwrap();
    tab.shoot("cluster-without-its-leader").await.unwrap();
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}

/// Goes to the console of the first broker, and logs in there.
async fn enter(world: &World, browser: &Browser, admin: &Person) -> Tab {
    let tab = browser.open().await.unwrap();
    tab.goto(&world.url("/console")).await.unwrap();
    tab.fill(&id("username"), &admin.user.name).await.unwrap();
    tab.click(&id("submit")).await.unwrap();
    tab.fill(&id("answer-0"), &admin.user.password).await.unwrap();
    tab.click(&id("submit")).await.unwrap();
    tab.reached("inside").await.unwrap();
    tab
}

async fn go(tab: &Tab, page: &str) {
    tab.click(&id(&format!("nav-{page}"))).await.unwrap();
    tab.wait(&format!("{}[data-page=\"{page}\"]", id("page"))).await.unwrap();
}

/// A number as the page has it.
async fn number(tab: &Tab, name: &str) -> Value {
    let text = tab.attribute(&id(name), "data-value").await.unwrap().unwrap();
    json!(text.parse::<u64>().unwrap())
}

fn row_of(key: &Value) -> String {
    format!("{}[data-key={key}]", id("row"))
}

async fn row(tab: &Tab, key: &Value) -> String {
    tab.text(&row_of(key)).await.unwrap()
}

/// Each broker's part, as the page has it.
async fn roles(tab: &Tab, told: &Value) -> BTreeMap<String, String> {
    let mut roles = BTreeMap::new();
    for broker in told["brokers"].as_array().unwrap() {
        let selector = format!("{}[data-id={}]", id("broker"), broker["id"]);
        let role = tab.attribute(&selector, "data-role").await.unwrap().unwrap();
        roles.insert(broker["id"].as_str().unwrap().to_owned(), role);
    }
    roles
}

fn roles_told(told: &Value) -> BTreeMap<String, String> {
    let brokers = told["brokers"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    brokers.map(|it| (text(&it["id"]), text(&it["role"]))).collect()
}

async fn get(url: &str, admin: &Person) -> Value {
    let request = http().get(url).bearer_auth(admin.token.as_str());
    request.send().await.unwrap().json().await.unwrap()
}
