//! What is done to a cluster, as data: one short story each.

use std::time::Duration;

use crate::faults::Way;

/// One story.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub story: &'static str,
    /// What is done.
    pub act: Act,
    /// With fewer brokers there is no promise. A lone broker that was away hears no agents when it
    /// is back, and refuses starts until it does.
    pub least_brokers: u8,
    /// Starts and connects are acknowledged again within this, however slow the machine is.
    /// Not the promise, which is measured: only what no machine may exceed.
    pub limit: Duration,
}

/// Whom it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The broker that leads.
    Leader,
    /// One that does not.
    Follower,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL, and started again: alone at once, else when the others serve.
    Kill(Who),
    /// SIGTERM, and started again in the same way.
    Stop(Who),
    /// SIGSTOP for so long, then SIGCONT.
    Freeze(Who, Duration),
    /// The cable is out for so long.
    Unplug(Who, Duration),
    /// Frames vanish for so long.
    Cut(Who, Way, Duration),
    /// Frames between this broker and one agent vanish for so long; deaf and mute is the broker.
    CutFromAgent(Who, Way, Duration),
    /// Frames between the leader and one agent vanish for so long, and the broker that carries what they say
    /// to one another is killed, and started again when the others serve.
    KillCarrier(Duration),
    /// So many frames of a hundred vanish at every broker, for so long.
    Loss(u8, Duration),
    /// Every broker in turn is stopped in order and started again.
    RollingRestart,
}

impl Act {
    /// Whom it is done to; `None` when to all.
    pub fn who(self) -> Option<Who> {
        match self {
            Act::Kill(who)
            | Act::Stop(who)
            | Act::Freeze(who, _)
            | Act::Unplug(who, _)
            | Act::Cut(who, ..)
            | Act::CutFromAgent(who, ..) => Some(who),
            Act::KillCarrier(_) => Some(Who::Leader),
            Act::Loss(..) | Act::RollingRestart => None,
        }
    }

    /// Whether it is between a broker and one agent.
    pub fn is_between(self) -> bool {
        matches!(self, Act::CutFromAgent(..) | Act::KillCarrier(_))
    }
}

const SECOND: Duration = Duration::from_secs(1);
const FOUR: Duration = Duration::from_secs(4);
const TEN: Duration = Duration::from_secs(10);
/// Ten seconds of fault, and a slow machine.
const GENEROUS: Duration = Duration::from_secs(30);

const fn scenario(name: &'static str, story: &'static str, act: Act, brokers: u8) -> Scenario {
    Scenario { name, story, act, least_brokers: brokers, limit: GENEROUS }
}

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario("leader-kill", "the leader is killed (SIGKILL)", Act::Kill(Who::Leader), 1),
    scenario(
        "leader-freeze",
        "the leader stands still for 10 s (SIGSTOP, SIGCONT)",
        Act::Freeze(Who::Leader, TEN),
        3,
    ),
    scenario(
        "leader-unplug",
        "the leader's cable is out for 5 s",
        Act::Unplug(Who::Leader, SECOND.saturating_mul(5)),
        3,
    ),
    scenario(
        "leader-cut",
        "frames from and to the leader vanish for 5 s",
        Act::Cut(Who::Leader, Way::Both, SECOND.saturating_mul(5)),
        3,
    ),
    scenario(
        "leader-agent-cut",
        "frames between the leader and one agent vanish for 5 s",
        Act::CutFromAgent(Who::Leader, Way::Both, SECOND.saturating_mul(5)),
        3,
    ),
    scenario(
        "leader-agent-mute",
        "frames from the leader to one agent vanish for 10 s, those from the agent come",
        Act::CutFromAgent(Who::Leader, Way::Mute, TEN),
        3,
    ),
    scenario(
        "carrier-kill",
        "frames between the leader and one agent vanish for 10 s, and the broker that carries them is killed",
        Act::KillCarrier(TEN),
        3,
    ),
    scenario(
        "follower-cut",
        "a follower is cut off for 4 s, and its return deposes nobody",
        Act::Cut(Who::Follower, Way::Both, FOUR),
        3,
    ),
    scenario(
        "leader-deaf",
        "the leader can send, not receive, for 5 s",
        Act::Cut(Who::Leader, Way::Deaf, SECOND.saturating_mul(5)),
        3,
    ),
    scenario(
        "leader-mute",
        "the leader can receive, not send, for 5 s",
        Act::Cut(Who::Leader, Way::Mute, SECOND.saturating_mul(5)),
        3,
    ),
    scenario("leader-stop", "the leader is stopped in order (SIGTERM)", Act::Stop(Who::Leader), 1),
    scenario(
        "rolling-restart",
        "every broker in turn is stopped in order and started again",
        Act::RollingRestart,
        1,
    ),
    scenario(
        "loss",
        "2 % of all frames at every broker vanish for 5 s",
        Act::Loss(2, SECOND.saturating_mul(5)),
        1,
    ),
];

/// The one of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|it| it.name == name)
}
