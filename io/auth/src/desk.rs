//! Where logins are held: throttled, bounded, written down.
//!
//! ```text
//! begin ─▶ open conversation ──answer──▶ … ─▶ Accepted | LoginError
//!              └── 5 minutes without an answer: forgotten
//! ```

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use abide_api::{Message, Prompt};
use abide_model::{BrokerId, UserName};
use tokio::time::timeout;

use crate::audit::{AuditLog, AuditRecord, Decision, Verdict};
use crate::conversation::{Accepted, Answer, Backend, Conversation, RefusalReason, Refused, Step};
use crate::throttle::{Throttle, Throttled};

/// How long a conversation waits for its next answer.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a back end may take for one step: a second factor on a telephone is slow.
const STEP_DEADLINE: Duration = Duration::from_secs(120);
/// Conversations open at once; each may hold a process of the login helper.
const MOST_OPEN: usize = 1024;
/// Of these, from one address: a classroom behind one, typing.
const MOST_OPEN_FROM_ONE: usize = 128;

/// Names a conversation, and the broker that holds it: `<broker id>.<128 random bits in hex>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConversationId {
    broker: BrokerId,
    secret: [u8; 16],
}

impl ConversationId {
    /// Who holds it.
    pub fn broker(&self) -> &BrokerId {
        &self.broker
    }

    fn fresh(broker: &BrokerId) -> Self {
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret).expect("the system's random source works");
        Self { broker: broker.clone(), secret }
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.broker, hex::encode(self.secret))
    }
}

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConversationId({}, not shown)", self.broker)
    }
}

impl FromStr for ConversationId {
    type Err = LoginError;

    fn from_str(text: &str) -> Result<Self, LoginError> {
        let (broker, hex) = text.split_once('.').ok_or(LoginError::UnknownConversation)?;
        let broker = broker.parse().map_err(|_| LoginError::UnknownConversation)?;
        let mut secret = [0; 16];
        hex::decode_to_slice(hex, &mut secret).map_err(|_| LoginError::UnknownConversation)?;
        Ok(Self { broker, secret })
    }
}

/// A login that goes on, or is done.
#[derive(Debug)]
pub enum DeskReply {
    /// To be answered within 5 minutes.
    Prompts {
        /// Where to answer.
        conversation: ConversationId,
        /// To be shown.
        messages: Vec<Message>,
        /// To be answered, all of them.
        prompts: Vec<Prompt>,
    },
    /// The person may have a token.
    Accepted(Accepted),
}

/// Why a login does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The name can be nobody's.
    #[error("a user name has 1 to 256 bytes, no slashes or control characters")]
    Name,
    /// The back end says no.
    #[error("the login was refused")]
    Refused(Refused),
    /// Too many wrong answers.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// No such conversation here: never begun, answered already, or too old.
    #[error("this login is over; begin again")]
    UnknownConversation,
    /// Not one answer for each prompt. The conversation waits on.
    #[error("there are {prompts} prompts to answer, not {answers}")]
    Answers {
        /// How many were asked.
        prompts: usize,
        /// How many came.
        answers: usize,
    },
    /// Too many logins at once.
    #[error("too many logins are under way")]
    Busy,
}

/// Holds the logins of one broker. Clones share them.
#[derive(Clone)]
pub struct LoginDesk(Arc<Inner>);

struct Inner {
    broker: BrokerId,
    backend: Arc<dyn Backend>,
    throttle: Throttle,
    audit: AuditLog,
    open: Mutex<HashMap<ConversationId, Open>>,
}

struct Open {
    who: Who,
    prompts: usize,
    next: Box<dyn Conversation>,
    since: Instant,
}

#[derive(Clone)]
struct Who {
    user: UserName,
    from: IpAddr,
}

impl LoginDesk {
    /// A desk without logins.
    pub fn new(
        broker: BrokerId,
        backend: Arc<dyn Backend>,
        throttle: Throttle,
        audit: AuditLog,
    ) -> Self {
        Self(Arc::new(Inner { broker, backend, throttle, audit, open: Mutex::default() }))
    }

    /// Begins a login of this name, from this address. `answers` are those that the client holds
    /// from a conversation that another broker began: given to the prompts in order, as far as
    /// they reach.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn begin(
        &self,
        name: &str,
        answers: Vec<Answer>,
        from: IpAddr,
    ) -> Result<DeskReply, LoginError> {
        let user: UserName = name.parse().map_err(|_| LoginError::Name)?;
        let who = Who { user, from };
        let mut step = self.step(&who, self.0.backend.begin(&who.user, from)).await?;
        let mut answers = answers.into_iter();
        loop {
            match step {
                Step::Prompt { prompts, next, .. } if prompts.len() <= answers.len() => {
                    let now = answers.by_ref().take(prompts.len()).collect();
                    step = self.step(&who, next.answer(now)).await?;
                }
                other => return self.reply(who, other),
            }
        }
    }

    /// Goes on with a conversation of this desk.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn answer(
        &self,
        id: &ConversationId,
        answers: Vec<Answer>,
    ) -> Result<DeskReply, LoginError> {
        let Open { who, next, .. } = self.take(id, answers.len())?;
        let step = self.step(&who, next.answer(answers)).await?;
        self.reply(who, step)
    }

    /// The limits on guessing.
    pub fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// How many conversations wait for an answer.
    pub fn open(&self) -> usize {
        let mut open = self.lock();
        forget_old(&mut open, Instant::now());
        open.len()
    }

    /// One step of a back end: counted before, and forgiven unless an answer was wrong.
    async fn step(&self, who: &Who, step: impl Future<Output = Step>) -> Result<Step, LoginError> {
        let attempt = self
            .0
            .throttle
            .attempt(&who.user, who.from, Instant::now())
            .inspect_err(|_| self.record(who, Verdict::Refused, Some("throttled")))?;
        let step = timeout(STEP_DEADLINE, step).await;
        let step = step.unwrap_or_else(|_| Step::refused(RefusalReason::Unavailable));
        match &step {
            Step::Refused(Refused { reason: RefusalReason::Credentials, .. }) => drop(attempt),
            _ => attempt.forgive(),
        }
        Ok(step)
    }

    fn reply(&self, who: Who, step: Step) -> Result<DeskReply, LoginError> {
        match step {
            Step::Prompt { messages, prompts, next } => {
                let open = Open { who, prompts: prompts.len(), next, since: Instant::now() };
                let conversation = self.put(open)?;
                Ok(DeskReply::Prompts { conversation, messages, prompts })
            }
            Step::Accepted(accepted) => {
                let proven = Who { user: accepted.user.clone(), ..who };
                self.record(&proven, Verdict::Allowed, None);
                Ok(DeskReply::Accepted(accepted))
            }
            Step::Refused(refused) => {
                self.record(&who, Verdict::Refused, Some(refused.reason.name()));
                Err(LoginError::Refused(refused))
            }
        }
    }

    fn put(&self, new: Open) -> Result<ConversationId, LoginError> {
        let mut open = self.lock();
        forget_old(&mut open, new.since);
        let from = new.who.from;
        let from_there = open.values().filter(|other| other.who.from == from).count();
        if open.len() >= MOST_OPEN || from_there >= MOST_OPEN_FROM_ONE {
            self.record(&new.who, Verdict::Refused, Some("too many logins under way"));
            return Err(LoginError::Busy);
        }
        let id = ConversationId::fresh(&self.0.broker);
        open.insert(id.clone(), new);
        Ok(id)
    }

    fn take(&self, id: &ConversationId, answers: usize) -> Result<Open, LoginError> {
        let mut open = self.lock();
        forget_old(&mut open, Instant::now());
        let prompts = open.get(id).ok_or(LoginError::UnknownConversation)?.prompts;
        if prompts != answers {
            return Err(LoginError::Answers { prompts, answers });
        }
        open.remove(id).ok_or(LoginError::UnknownConversation)
    }

    fn record(&self, who: &Who, verdict: Verdict, reason: Option<&str>) {
        self.0.audit.record(AuditRecord {
            user: Some(who.user.as_str()),
            address: Some(who.from),
            reason,
            ..AuditRecord::new(Decision::Login, verdict)
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConversationId, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LoginDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginDesk({} open)", self.lock().len())
    }
}

fn forget_old(open: &mut HashMap<ConversationId, Open>, now: Instant) {
    open.retain(|_, open| now.saturating_duration_since(open.since) < PATIENCE);
}
