//! The broker dies at random moments while people start desktops.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use abide_api::{SessionState, StartRequest, Want};
use abide_client::WishKey;
use abide_cluster::{Options, Profile};
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream;

use crate::support::World;

const STARTS: usize = 200;
const PEOPLE: usize = 20;
/// Starts under way at a time.
const AT_ONCE: usize = 8;
/// Between the broker's readiness and its next death, at most, milliseconds.
const LIVES_AT_MOST: u64 = 700;

/// `ABIDE_SEEDS` says how many seeds are tried; `ABIDE_SEED` names one.
#[tokio::test]
async fn no_acknowledged_session_is_missing_doubled_or_unknown() {
    let number = |name: &str| std::env::var(name).ok().map(|it| it.parse::<u64>().unwrap());
    let seeds = match number("ABIDE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ABIDE_SEEDS").unwrap_or(3),
    };
    for seed in seeds {
        println!("ABIDE_SEED={seed}");
        one_seed(seed).await;
    }
}

async fn one_seed(seed: u64) {
    // 200 display servers: small ones.
    let agent_config = "display = { width = 320, height = 200 }".to_owned();
    let options = Options::new().unwrap();
    let profiles = vec![Profile::plain()];
    let mut world = World::with(Options { agents: 2, profiles, agent_config, ..options }).await;
    let mut people = Vec::new();
    for number in 0..PEOPLE {
        people.push(world.person(&format!("user{number}")).await);
    }
    let (done, deaths) = (AtomicBool::new(false), AtomicU32::new(0));
    let starts = async {
        let starts = stream::iter(0..STARTS).map(|number| {
            let person = &people[number % PEOPLE];
            async move {
                let request = StartRequest { profile: None, want: Want::Start };
                person.api.start(&request, &WishKey::random()).await.unwrap().session
            }
        });
        let acknowledged: Vec<_> = starts.buffer_unordered(AT_ONCE).collect().await;
        done.store(true, Ordering::Relaxed);
        acknowledged
    };
    let cluster = &mut world.cluster;
    let chaos = async {
        let mut random = Random(seed);
        while !done.load(Ordering::Relaxed) {
            // The moment is what is random here; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(random.below(LIVES_AT_MOST))).await;
            cluster.kill_broker(0);
            cluster.start_broker(0).await.unwrap();
            deaths.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (acknowledged, ()) = join(starts, chaos).await;

    let admin = world.cluster.log_in(world.cluster.admin()).await.unwrap();
    world.cluster.until_agents_are_heard(&admin).await.unwrap();
    let table = world.admin.sessions().await.unwrap().sessions;
    let known: BTreeSet<_> = table.iter().map(|it| &it.id).collect();
    let acknowledged: BTreeSet<_> = acknowledged.iter().map(|it| &it.id).collect();
    assert_eq!(acknowledged.len(), STARTS, "two wishes were answered with one session");
    let missing: Vec<_> = acknowledged.difference(&known).collect();
    assert!(missing.is_empty(), "acknowledged and missing: {missing:?}");
    for session in table.iter().filter(|it| acknowledged.contains(&it.id)) {
        assert_eq!(session.state, SessionState::Running, "{session:?}");
        assert!(session.verified, "{session:?}");
    }
    let live = table.iter().filter(|it| it.state == SessionState::Running).count();
    assert_eq!(live, STARTS, "a wish was granted twice");
    let agents = world.cluster.agents().iter();
    let keepers: Vec<_> = agents.flat_map(|it| it.keepers()).map(|it| it.session).collect();
    let unknown: Vec<_> = keepers.iter().filter(|it| !known.contains(it)).collect();
    assert!(unknown.is_empty(), "keepers that no table knows: {unknown:?}");
    assert_eq!(keepers.len(), STARTS);
    println!("{STARTS} starts, {} deaths of the broker", deaths.load(Ordering::Relaxed));
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
