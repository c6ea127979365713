//! Password hashing, on threads of its own.
//!
//! One check takes tens of milliseconds of a processor and 19 MiB. So there are few threads, with
//! low priority, and neither the runtime's workers nor its blocking threads do it: a storm of
//! logins must not delay what keeps the cluster together.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use argon2::Argon2;
use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{mpsc, oneshot};

use crate::conversation::Answer;

/// Checks that may wait. Who comes later waits for a place.
const QUEUE: usize = 256;

/// How much lower the threads' priority is (the kernel's niceness, of 19 at most).
const NICENESS: i32 = 10;

/// Why a password was not hashed or a text is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No argon2id hash in PHC form (`$argon2id$v=19$…`).
    #[error("not an argon2id hash such as $argon2id$v=19$m=19456,t=2,p=1$…")]
    Malformed,
    /// argon2 refused, for instance an endless password.
    #[error("the password cannot be hashed: {0}")]
    Hashing(argon2::password_hash::Error),
    /// The threads are gone.
    #[error("password checking has stopped")]
    Stopped,
}

/// An argon2id hash with its salt and costs, in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(phc::PasswordHash);

impl PasswordHash {
    /// Hashes a password at today's costs (19 MiB, 2 passes, 1 lane: OWASP's advice), with a salt
    /// from the system's random source. Takes as long as a check; meant for command lines.
    ///
    /// # Errors
    /// [`HashError::Hashing`].
    pub fn of(password: &Answer) -> Result<Self, HashError> {
        let hash = Argon2::default().hash_password(password.reveal().as_bytes());
        hash.map(Self).map_err(HashError::Hashing)
    }

    fn fits(&self, password: &Answer) -> bool {
        // The costs are the hash's own, not the default's.
        Argon2::default().verify_password(password.reveal().as_bytes(), &self.0).is_ok()
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(not shown)")
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| HashError::Malformed)?;
        let usable = hash.algorithm == argon2::ARGON2ID_IDENT
            && hash.hash.is_some()
            && argon2::Params::try_from(&hash).is_ok();
        if usable { Ok(Self(hash)) } else { Err(HashError::Malformed) }
    }
}

/// What an unknown user's password is checked against, so that it takes as long as a known one's.
static NOBODYS: LazyLock<PasswordHash> = LazyLock::new(|| {
    PasswordHash::of(&Answer::new("nobody's".into())).expect("a short password can be hashed")
});

struct Job {
    password: Answer,
    hash: Option<PasswordHash>,
    answer: oneshot::Sender<bool>,
}

/// The threads that check passwords. Clones share them; they end with the last clone.
#[derive(Debug, Clone)]
pub struct HashPool {
    jobs: mpsc::Sender<Job>,
}

impl HashPool {
    /// Starts so many threads. Two are enough for about 50 logins a second.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(threads: NonZeroUsize) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.get() {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name("abide-hash".into()).spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    /// Whether this is the password of that hash; of nobody's, if there is none, which takes as
    /// long and is always wrong.
    ///
    /// # Errors
    /// [`HashError::Stopped`].
    pub async fn check(
        &self,
        password: Answer,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        let (answer, outcome) = oneshot::channel();
        let job = Job { password, hash, answer };
        self.jobs.send(job).await.map_err(|_| HashError::Stopped)?;
        outcome.await.map_err(|_| HashError::Stopped)
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>) {
    // On Linux this is of the calling thread alone. Refused, the checks only run at normal
    // priority.
    let _ = rustix::process::nice(NICENESS);
    // Made now, or the first unknown user's check would take twice as long as a known one's.
    LazyLock::force(&NOBODYS);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(Job { password, hash, answer }) = job else { return };
        if answer.is_closed() {
            continue;
        }
        let fits = hash.as_ref().unwrap_or(&NOBODYS).fits(&password) && hash.is_some();
        // Nobody waits any more: then nobody needs to know.
        let _ = answer.send(fits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer::new(text.into())
    }

    #[tokio::test]
    async fn the_right_password_fits_and_no_other() {
        let pool = HashPool::start(NonZeroUsize::MIN).unwrap();
        let hash = PasswordHash::of(&answer("correct horse")).unwrap();
        let read: PasswordHash = hash.to_string().parse().unwrap();
        for (password, hash, fits) in [
            ("correct horse", Some(read.clone()), true),
            ("correct Horse", Some(read.clone()), false),
            ("", Some(read), false),
            ("nobody's", None, false),
        ] {
            assert_eq!(pool.check(answer(password), hash).await.unwrap(), fits, "{password}");
        }
    }

    #[test]
    fn only_argon2id_hashes_are_taken() {
        for bad in [
            "",
            "secret",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
            "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$7SUzUxWyOyVGdR0kGyzQYfo4NoDTgYt0GyBCwEqVtDk",
            "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.",
        ] {
            assert!(matches!(bad.parse::<PasswordHash>(), Err(HashError::Malformed)), "{bad}");
        }
        let hash = PasswordHash::of(&answer("x")).unwrap();
        assert!(hash.to_string().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!format!("{hash:?}").contains('$'));
    }
}
