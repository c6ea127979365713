//! Logins through the desk, by the users file and by a back end that asks more.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use abide_api::{Message, MessageStyle, Prompt, PromptStyle};
use abide_model::UserName;
use abide_ticket::Role;
use async_trait::async_trait;

use crate::*;

fn home() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn answers(texts: &[&str]) -> Vec<Answer> {
    texts.iter().map(|text| Answer::new((*text).into())).collect()
}

fn user(password: &str, standing: Standing) -> User {
    User {
        password: PasswordHash::of(&Answer::new(password.into())).unwrap(),
        groups: vec!["staff".into()],
        role: Role::User,
        standing,
    }
}

/// A desk in front of a users file with ada, and with bob, who is disabled.
fn desk(folder: &Path) -> LoginDesk {
    let path = folder.join("users.toml");
    UsersFile::change(&path, |users| {
        users.insert("ada".parse().unwrap(), user("lovelace", Standing::Active));
        users.insert("bob".parse().unwrap(), user("builder", Standing::Disabled));
    })
    .unwrap();
    let pool = HashPool::start(NonZeroUsize::MIN).unwrap();
    let backend = UsersBackend::new(UsersFile::open(path).unwrap(), pool);
    let audit = AuditLog::open(folder.join("audit.log")).unwrap();
    LoginDesk::new(broker(), Arc::new(backend), Throttle::default(), audit)
}

fn broker() -> abide_model::BrokerId {
    "b".repeat(32).parse().unwrap()
}

fn refused(reason: RefusalReason) -> LoginError {
    LoginError::Refused(Refused { reason, messages: Vec::new() })
}

#[tokio::test]
async fn the_right_password_logs_in_by_conversation_and_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let reply = desk.begin("ada", Vec::new(), home()).await.unwrap();
    let DeskReply::Prompts { conversation, prompts, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(prompts, [Prompt { style: PromptStyle::EchoOff, text: "Password: ".into() }]);
    let id: ConversationId = conversation.to_string().parse().unwrap();
    assert_eq!(id.broker(), &broker());

    let count = desk.answer(&id, Vec::new()).await.unwrap_err();
    assert_eq!(count, LoginError::Answers { prompts: 1, answers: 0 });
    let reply = desk.answer(&id, answers(&["lovelace"])).await.unwrap();
    let DeskReply::Accepted(accepted) = reply else { panic!("{reply:?}") };
    assert_eq!((accepted.user.as_str(), accepted.groups[0].as_str()), ("ada", "staff"));
    let again = desk.answer(&id, answers(&["lovelace"])).await.unwrap_err();
    assert_eq!(again, LoginError::UnknownConversation);

    let reply = desk.begin("ada", answers(&["lovelace"]), home()).await.unwrap();
    assert!(matches!(reply, DeskReply::Accepted(_)));
    assert_eq!(desk.open(), 0);
}

#[tokio::test]
async fn wrong_passwords_and_unknown_users_look_alike_and_are_slowed() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    for name in ["ada", "nobody", "bob"] {
        let wrong = desk.begin(name, answers(&["guess"]), home()).await.unwrap_err();
        assert_eq!(wrong, refused(RefusalReason::Credentials), "{name}");
    }
    for _ in 0..4 {
        desk.begin("ada", answers(&["guess"]), home()).await.unwrap_err();
    }
    let slowed = desk.begin("ada", answers(&["lovelace"]), home()).await.unwrap_err();
    assert!(matches!(slowed, LoginError::Throttled(_)));
    let elsewhere = "198.51.100.7".parse().unwrap();
    assert!(desk.begin("ada", answers(&["lovelace"]), elsewhere).await.is_ok());

    drop(desk);
    let log = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    let verdicts: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), 9);
    assert_eq!(verdicts[0]["reason"], "credentials");
    assert_eq!(verdicts[7]["reason"], "throttled");
    assert_eq!(verdicts[8]["verdict"], "allowed");
    assert!(!log.contains("guess") && !log.contains("lovelace"));
}

#[tokio::test]
async fn a_disabled_user_is_told_so_only_with_the_right_password() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let told = desk.begin("bob", answers(&["builder"]), home()).await.unwrap_err();
    let LoginError::Refused(told) = told else { panic!("{told:?}") };
    assert_eq!(told.reason, RefusalReason::AccessDenied);
    assert!(told.messages[0].text.contains("disabled"));
}

#[tokio::test]
async fn names_that_can_be_nobodys_are_refused_before_anything() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    for name in ["", "..", "a/b", "a\nb", &"x".repeat(257)] {
        assert_eq!(desk.begin(name, Vec::new(), home()).await.unwrap_err(), LoginError::Name);
    }
    for id in ["", "x", "b.00", &format!("{}.zz", broker())] {
        assert_eq!(id.parse::<ConversationId>(), Err(LoginError::UnknownConversation));
    }
}

#[tokio::test]
async fn logins_under_way_are_bounded_for_each_address() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    for _ in 0..128 {
        desk.begin("ada", Vec::new(), home()).await.unwrap();
    }
    assert_eq!(desk.begin("ada", Vec::new(), home()).await.unwrap_err(), LoginError::Busy);
    assert!(desk.begin("ada", Vec::new(), "198.51.100.7".parse().unwrap()).await.is_ok());
    assert_eq!(desk.open(), 129);
}

#[tokio::test]
async fn a_changed_users_file_counts_at_once_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let desk = desk(folder.path());
    let path = folder.path().join("users.toml");
    let try_ada =
        async |password: &str| desk.begin("ada", answers(&[password]), home()).await.is_ok();
    assert!(try_ada("lovelace").await);
    UsersFile::change(&path, |users| {
        users.insert("ada".parse().unwrap(), user("byron", Standing::Active));
    })
    .unwrap();
    assert!(try_ada("byron").await && !try_ada("lovelace").await);
    std::fs::write(&path, "[users.ada]\npasword = 1\n").unwrap();
    assert!(try_ada("byron").await);
    let refused = UsersFile::change(&path, |_| ()).unwrap_err();
    assert!(refused.to_string().contains("did you mean \"password\"?"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "[users.ada]\npasword = 1\n");
}

#[test]
fn the_users_file_keeps_odd_names_and_everything_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.toml");
    let odd: UserName = "EXAMPLE\\jo.o'hara \"x\"@é".parse().unwrap();
    let admin = User {
        role: Role::Administrator,
        groups: vec!["a b".into(), "ü".into()],
        ..user("x", Standing::Disabled)
    };
    let written = UsersFile::change(&path, |users| {
        users.insert(odd, admin);
        users.insert("plain".parse().unwrap(), user("y", Standing::Active));
        users.clone()
    })
    .unwrap();
    assert_eq!(*UsersFile::open(path.clone()).unwrap().users(), written);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn all_problems_of_a_users_file_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.toml");
    std::fs::write(&path, "[users.ada]\npassword = 'plain'\n[users.'a/b']\nadmin = 'yes'\n")
        .unwrap();
    let told = UsersFile::open(path).unwrap_err().to_string();
    for part in [":2: users.ada.password: ", ":4: users.a/b.admin: ", ":3: users.a/b: "] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

/// Asks for a password and a code, as PAM may.
struct TwoFactors;

#[async_trait]
impl Backend for TwoFactors {
    async fn begin(&self, _user: &UserName, _from: IpAddr) -> Step {
        ask("Password: ", Box::new(Asked("secret", Some("123456"))))
    }
}

struct Asked(&'static str, Option<&'static str>);

#[async_trait]
impl Conversation for Asked {
    async fn answer(self: Box<Self>, answers: Vec<Answer>) -> Step {
        match (answers[0].reveal() == self.0, self.1) {
            (false, _) => Step::refused(RefusalReason::Credentials),
            (true, Some(code)) => ask("Code: ", Box::new(Asked(code, None))),
            (true, None) => Step::Accepted(Accepted {
                user: "canonical".parse().unwrap(),
                groups: Vec::new(),
                role: Role::User,
                messages: vec![Message { style: MessageStyle::Info, text: "Hello.".into() }],
            }),
        }
    }
}

fn ask(text: &str, next: Box<dyn Conversation>) -> Step {
    let prompts = vec![Prompt { style: PromptStyle::EchoOff, text: text.into() }];
    Step::Prompt { messages: Vec::new(), prompts, next }
}

#[tokio::test]
async fn answers_held_from_elsewhere_are_replayed_as_far_as_they_reach() {
    let desk =
        LoginDesk::new(broker(), Arc::new(TwoFactors), Throttle::default(), AuditLog::none());
    let reply = desk.begin("someone", answers(&["secret"]), home()).await.unwrap();
    let DeskReply::Prompts { conversation, prompts, .. } = reply else { panic!("{reply:?}") };
    assert_eq!(prompts[0].text, "Code: ");
    let reply = desk.answer(&conversation, answers(&["123456"])).await.unwrap();
    let DeskReply::Accepted(accepted) = reply else { panic!("{reply:?}") };
    assert_eq!(accepted.user.as_str(), "canonical");
    assert_eq!(accepted.messages[0].text, "Hello.");

    let wrong = desk.begin("someone", answers(&["secret", "000000"]), home()).await.unwrap_err();
    assert_eq!(wrong, refused(RefusalReason::Credentials));
}

struct Hangs;

#[async_trait]
impl Backend for Hangs {
    async fn begin(&self, _user: &UserName, _from: IpAddr) -> Step {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_back_end_that_hangs_is_given_up_and_costs_the_person_nothing() {
    let desk = LoginDesk::new(broker(), Arc::new(Hangs), Throttle::default(), AuditLog::none());
    for _ in 0..10 {
        let gone = desk.begin("ada", Vec::new(), home()).await.unwrap_err();
        assert_eq!(gone, refused(RefusalReason::Unavailable));
    }
}
