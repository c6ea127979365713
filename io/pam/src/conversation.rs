//! What PAM's modules ask and say while they work.

use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{c_int, c_void};
use zeroize::{Zeroize, Zeroizing};

use crate::ffi;

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Asks for something that may be seen while it is typed.
    Visible,
    /// Asks for a secret.
    Secret,
    /// Tells something.
    Info,
    /// Tells that something is wrong.
    Error,
}

impl Style {
    /// Whether an answer is wanted.
    pub fn is_prompt(self) -> bool {
        matches!(self, Style::Visible | Style::Secret)
    }
}

/// One message of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How it is meant.
    pub style: Style,
    /// Text that is not UTF-8 comes with replacement characters.
    pub text: String,
}

/// Whoever answers.
pub trait Conversation {
    /// Takes all messages of one call and gives one answer for each prompt among them, in order.
    /// `None` ends the conversation: the module fails.
    fn converse(&mut self, messages: &[Message]) -> Option<Vec<Zeroizing<String>>>;
}

/// Answers nothing, so that a module that asks fails. What modules tell is kept.
#[derive(Debug, Default)]
pub struct NoConversation {
    /// What was told so far.
    pub told: Vec<String>,
}

impl Conversation for NoConversation {
    fn converse(&mut self, messages: &[Message]) -> Option<Vec<Zeroizing<String>>> {
        let (prompts, told): (Vec<_>, Vec<_>) = messages.iter().partition(|m| m.style.is_prompt());
        self.told.extend(told.into_iter().map(|m| m.text.clone()));
        prompts.is_empty().then(Vec::new)
    }
}

/// The function that PAM calls. `data` is the `*mut C` of the transaction.
pub(crate) unsafe extern "C" fn callback<C: Conversation>(
    count: c_int,
    messages: *mut *const ffi::Message,
    responses: *mut *mut ffi::Response,
    data: *mut c_void,
) -> c_int {
    if !(1..=ffi::MAX_MESSAGES).contains(&count) || messages.is_null() || responses.is_null() {
        return ffi::CONV_ERR;
    }
    let mut asked = Vec::with_capacity(count as usize);
    for index in 0..count as usize {
        // SAFETY: Linux-PAM hands over `count` pointers to messages that live until we return.
        let message = unsafe { &**messages.add(index) };
        let style = match message.style {
            ffi::PROMPT_ECHO_OFF => Style::Secret,
            ffi::PROMPT_ECHO_ON => Style::Visible,
            ffi::TEXT_INFO => Style::Info,
            ffi::ERROR_MSG => Style::Error,
            _ => return ffi::CONV_ERR,
        };
        let text = match message.text.is_null() {
            true => String::new(),
            // SAFETY: by PAM's contract it ends in a zero byte and lives until we return.
            false => unsafe { CStr::from_ptr(message.text) }.to_string_lossy().into_owned(),
        };
        asked.push(Message { style, text });
    }
    // SAFETY: `data` is what the transaction gave to pam_start: a `C` that it owns, on the heap,
    // and touches only while no PAM function runs.
    let conversation = unsafe { &mut *data.cast::<C>() };
    // A panic must not travel through C.
    let answered = catch_unwind(AssertUnwindSafe(|| conversation.converse(&asked)));
    let Ok(Some(answers)) = answered else {
        return ffi::CONV_ERR;
    };
    match build(&asked, &answers) {
        Ok(built) => {
            // SAFETY: checked above not to be null; PAM gives room for one pointer.
            unsafe { *responses = built };
            ffi::SUCCESS
        }
        Err(code) => code,
    }
}

/// The answers as an array that the module frees with free(3); null for messages without one.
fn build(asked: &[Message], answers: &[Zeroizing<String>]) -> Result<*mut ffi::Response, c_int> {
    let mut texts = Vec::with_capacity(answers.len());
    for answer in answers {
        if answer.len() >= ffi::MAX_RESPONSE {
            return Err(ffi::CONV_ERR);
        }
        // Room for the zero byte, so that pushing it leaves no copy behind.
        let mut bytes = Vec::with_capacity(answer.len() + 1);
        bytes.extend_from_slice(answer.as_bytes());
        match CString::new(bytes) {
            Ok(text) => texts.push(Wiped(text)),
            Err(error) => {
                error.into_vec().zeroize();
                return Err(ffi::CONV_ERR);
            }
        }
    }
    if texts.len() != asked.iter().filter(|m| m.style.is_prompt()).count() {
        return Err(ffi::CONV_ERR);
    }
    // SAFETY: plain allocation of zeroed memory; all-zero is a valid `Response`.
    let built: *mut ffi::Response =
        unsafe { libc::calloc(asked.len(), size_of::<ffi::Response>()) }.cast();
    if built.is_null() {
        return Err(ffi::BUF_ERR);
    }
    let mut texts = texts.iter();
    for (index, message) in asked.iter().enumerate() {
        let text = match message.style.is_prompt() {
            true => texts.next(),
            false => None,
        };
        if let Some(text) = text {
            // SAFETY: `index` is below the number of elements allocated; strdup copies a text
            // that ends in a zero byte. Without memory it is null: an empty answer to the module.
            unsafe { (*built.add(index)).text = libc::strdup(text.0.as_ptr()) };
        }
    }
    Ok(built)
}

/// A text whose memory is wiped at the end.
struct Wiped(CString);

impl Drop for Wiped {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_bytes_with_nul().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Option<Vec<&'static str>>);

    impl Conversation for Fixed {
        fn converse(&mut self, _: &[Message]) -> Option<Vec<Zeroizing<String>>> {
            let answers = self.0.as_ref()?.iter();
            Some(answers.map(|a| Zeroizing::new((*a).to_owned())).collect())
        }
    }

    /// Calls the callback as PAM would and gives its answers back.
    fn ask(styles: &[c_int], mut fixed: Fixed) -> Result<Vec<Option<String>>, c_int> {
        let text = c"Say something: ";
        let messages: Vec<_> = styles
            .iter()
            .map(|style| ffi::Message { style: *style, text: text.as_ptr() })
            .collect();
        let mut pointers: Vec<*const ffi::Message> =
            messages.iter().map(|m| &raw const *m).collect();
        let mut responses = std::ptr::null_mut();
        // SAFETY: all pointers are to live values of the types that the callback expects.
        let code = unsafe {
            callback::<Fixed>(
                styles.len() as c_int,
                pointers.as_mut_ptr(),
                &mut responses,
                (&raw mut fixed).cast(),
            )
        };
        if code != ffi::SUCCESS {
            assert!(responses.is_null());
            return Err(code);
        }
        let read = |index| {
            // SAFETY: the callback made one response for each message; each text is from strdup.
            unsafe {
                let response: &ffi::Response = &*responses.add(index);
                let text = (!response.text.is_null())
                    .then(|| CStr::from_ptr(response.text).to_str().unwrap().to_owned());
                libc::free(response.text.cast());
                text
            }
        };
        let answers = (0..styles.len()).map(read).collect();
        // SAFETY: from calloc, and not used any more.
        unsafe { libc::free(responses.cast()) };
        Ok(answers)
    }

    #[test]
    fn each_prompt_gets_its_answer_and_tellings_get_none() {
        let styles = [ffi::TEXT_INFO, ffi::PROMPT_ECHO_OFF, ffi::ERROR_MSG, ffi::PROMPT_ECHO_ON];
        let answers = ask(&styles, Fixed(Some(vec!["one", "two"]))).unwrap();
        let expected = [None, Some("one".into()), None, Some("two".into())];
        assert_eq!(answers, expected);
    }

    #[test]
    fn what_does_not_fit_fails_the_module() {
        let long: &'static str = Box::leak("x".repeat(512).into_boxed_str());
        let one = [ffi::PROMPT_ECHO_OFF];
        for (styles, answers) in [
            (&one[..], None),
            (&one[..], Some(vec![])),
            (&one[..], Some(vec!["a", "b"])),
            (&one[..], Some(vec!["zero\0byte"])),
            (&one[..], Some(vec![long])),
            (&[7][..], Some(vec!["a"])),
            (&[][..], Some(vec![])),
            (&[ffi::PROMPT_ECHO_ON; 33][..], Some(vec!["a"; 33])),
        ] {
            assert_eq!(ask(styles, Fixed(answers.clone())), Err(ffi::CONV_ERR), "{answers:?}");
        }
    }
}
