//! PAM's conversation, carried over the socket.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use abide_pam::{Conversation, Message, Style};
use abide_wire::frame;
use abide_wire::keeper::login_reply::Reply;
use abide_wire::keeper::login_request::Request;
use abide_wire::keeper::{LoginMessage, LoginPrompt, LoginPrompts, LoginReply, LoginRequest};
use prost::Message as _;
use zeroize::Zeroizing;

/// The broker's side of one login.
pub struct Relay {
    stream: UnixStream,
    /// Told by the modules and not yet passed on: they go with the next prompts, or with the end.
    told: Vec<LoginMessage>,
    /// The broker has gone, so there is nobody to answer.
    pub gone: bool,
}

impl Relay {
    /// Speaks over this connection.
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, told: Vec::new(), gone: false }
    }

    /// Tells the person something. A module that stands twice in the rules says all of it twice.
    pub fn tell(&mut self, message: LoginMessage) {
        if !self.told.contains(&message) {
            self.told.push(message);
        }
    }

    /// What was told and not yet passed on.
    pub fn take_told(&mut self) -> Vec<LoginMessage> {
        std::mem::take(&mut self.told)
    }

    /// Says something.
    ///
    /// # Errors
    /// Those of writing.
    pub fn say(&mut self, reply: Reply) -> io::Result<()> {
        frame::write(&mut self.stream, &LoginReply { reply: Some(reply) })
    }

    /// Hears something. The bytes are wiped.
    ///
    /// # Errors
    /// Those of reading; `InvalidData` when it is no request.
    pub fn hear(&mut self) -> io::Result<Request> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = frame::checked_length(header).map_err(|_| invalid())?;
        let mut body = Zeroizing::new(vec![0; length]);
        self.stream.read_exact(&mut body)?;
        let request = LoginRequest::decode(body.as_slice()).map_err(|_| invalid())?;
        request.request.ok_or_else(invalid)
    }

    fn ask(&mut self, prompts: Vec<LoginPrompt>) -> io::Result<Vec<Zeroizing<String>>> {
        let messages = self.take_told();
        self.say(Reply::Prompts(LoginPrompts { messages, prompts }))?;
        match self.hear()? {
            Request::Answers(answers) => {
                Ok(answers.answers.into_iter().map(Zeroizing::new).collect())
            }
            Request::Start(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Conversation for Relay {
    fn converse(&mut self, messages: &[Message]) -> Option<Vec<Zeroizing<String>>> {
        let mut prompts = Vec::new();
        for message in messages {
            let text = message.text.clone();
            match message.style {
                Style::Visible | Style::Secret => {
                    prompts.push(LoginPrompt { echo: message.style == Style::Visible, text });
                }
                Style::Info | Style::Error => {
                    self.tell(LoginMessage { is_error: message.style == Style::Error, text });
                }
            }
        }
        if prompts.is_empty() {
            return Some(Vec::new());
        }
        let answers = self.ask(prompts);
        self.gone |= answers.is_err();
        answers.ok()
    }
}
