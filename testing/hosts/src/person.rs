//! Somebody at a login, who answers what is asked and remembers what was said.

use abide_api::{Message, Prompt};
use abide_client::Asker;
use zeroize::Zeroizing;

/// A person with an account on the hosts.
#[derive(Debug, Clone)]
pub struct Person {
    /// The account's name.
    pub name: String,
    /// A part of each question that will be asked, and its answer.
    answers: Vec<(String, String)>,
    /// Every question, in order.
    pub asked: Vec<String>,
    /// Every text that was shown.
    pub told: Vec<String>,
}

/// A question that this person knows no answer to.
#[derive(Debug, thiserror::Error)]
#[error("nobody expected the question {0:?}")]
pub struct Unexpected(String);

impl Person {
    /// Whose password this is.
    pub fn new(name: &str, password: &str) -> Self {
        let (name, answers) = (name.to_owned(), Vec::new());
        Self { name, answers, asked: Vec::new(), told: Vec::new() }.with("assword", password)
    }

    /// Answers a question in which `part` stands so, too.
    #[must_use]
    pub fn with(mut self, part: &str, answer: &str) -> Self {
        self.answers.push((part.to_owned(), answer.to_owned()));
        self
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.answers[0].1
    }
}

impl Asker for Person {
    type Error = Unexpected;

    fn show(&mut self, message: &Message) {
        self.told.push(message.text.clone());
    }

    fn ask(&mut self, prompt: &Prompt) -> Result<Zeroizing<String>, Unexpected> {
        self.asked.push(prompt.text.clone());
        let answer = self.answers.iter().find(|(part, _)| prompt.text.contains(part));
        let (_, answer) = answer.ok_or_else(|| Unexpected(prompt.text.clone()))?;
        Ok(answer.clone().into())
    }
}
