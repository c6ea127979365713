//! One PAM transaction.

use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use libc::{c_char, c_int, c_void};

use crate::conversation::{Conversation, callback};
use crate::ffi;

/// A text that the modules may ask the transaction for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// The name of the terminal.
    Tty = 3,
    /// The host that the person comes from.
    RemoteHost = 4,
}

/// PAM's answers other than success, as far as anybody tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A wrong answer, an unknown user, or too many tries: deliberately one.
    Authentication,
    /// The account is expired.
    AccountExpired,
    /// The password is expired or must be changed.
    PasswordExpired,
    /// A rule says no.
    Denied,
    /// PAM or a module is not working; the number is PAM's.
    System(c_int),
}

/// A PAM call that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PamError {
    /// The function.
    pub call: &'static str,
    /// What it answered.
    pub code: Code,
    /// PAM's own words for it.
    pub text: String,
}

impl fmt::Display for PamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.text)
    }
}

impl std::error::Error for PamError {}

/// One transaction: from `pam_start` to `pam_end`, which dropping calls. A session that was opened
/// is not closed by dropping.
#[derive(Debug)]
pub struct Transaction<C: Conversation> {
    handle: *mut ffi::Handle,
    /// INVARIANT: made by `Box::into_raw`, freed on drop only; PAM holds a copy of the pointer.
    conversation: *mut C,
    last: c_int,
}

impl<C: Conversation> Transaction<C> {
    /// Starts one for a user, under the rules of `/etc/pam.d/<service>`.
    ///
    /// # Errors
    /// [`Code::System`]; also when a name holds a zero byte.
    pub fn start(service: &str, user: &str, conversation: C) -> Result<Self, PamError> {
        let service = text("pam_start", service)?;
        let user = text("pam_start", user)?;
        let conversation = Box::into_raw(Box::new(conversation));
        let conv = ffi::Conv { callback: callback::<C>, data: conversation.cast() };
        let mut handle = ptr::null_mut();
        // SAFETY: texts end in zero bytes; Linux-PAM copies them and `conv`.
        let code = unsafe { ffi::pam_start(service.as_ptr(), user.as_ptr(), &conv, &mut handle) };
        let started = Self { handle, conversation, last: code };
        started.judge("pam_start", code)?;
        Ok(started)
    }

    /// Sets an item.
    ///
    /// # Errors
    /// [`Code::System`].
    pub fn set(&mut self, item: Item, value: &str) -> Result<(), PamError> {
        let value = text("pam_set_item", value)?;
        // SAFETY: the handle lives; both items are texts, which PAM copies.
        let code = unsafe { ffi::pam_set_item(self.handle, item as c_int, value.as_ptr().cast()) };
        self.judge("pam_set_item", code)
    }

    /// The user's name as the modules have settled it.
    ///
    /// # Errors
    /// [`Code::System`]; also when it is not UTF-8.
    pub fn user(&self) -> Result<String, PamError> {
        const PAM_USER: c_int = 2;
        let mut value: *const c_void = ptr::null();
        // SAFETY: the handle lives, `value` is room for one pointer.
        let code = unsafe { ffi::pam_get_item(self.handle, PAM_USER, &mut value) };
        self.judge("pam_get_item", code)?;
        if value.is_null() {
            return Err(own_error("pam_get_item", "no user"));
        }
        // SAFETY: PAM_USER is a text that PAM keeps until it is set again.
        let user = unsafe { CStr::from_ptr(value.cast()) };
        let user = user.to_str();
        user.map(str::to_owned)
            .map_err(|_| own_error("pam_get_item", "the user's name is not UTF-8"))
    }

    /// Tells the modules something: `NAME=VALUE`.
    ///
    /// # Errors
    /// [`Code::System`].
    pub fn put_env(&mut self, entry: &str) -> Result<(), PamError> {
        let entry = text("pam_putenv", entry)?;
        // SAFETY: the handle lives; PAM copies the text.
        let code = unsafe { ffi::pam_putenv(self.handle, entry.as_ptr()) };
        self.judge("pam_putenv", code)
    }

    /// The environment that the modules want the session to have.
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        // SAFETY: the handle lives.
        let list = unsafe { ffi::pam_getenvlist(self.handle) };
        let mut found = Vec::new();
        if list.is_null() {
            return found;
        }
        let mut next = list;
        // SAFETY: an array of texts that ends in null; array and texts are malloc'ed and now ours.
        unsafe {
            while !(*next).is_null() {
                found.extend(entry(CStr::from_ptr(*next)));
                libc::free((*next).cast());
                next = next.add(1);
            }
            libc::free(list.cast());
        }
        found
    }

    /// Asks for and checks what proves the person.
    ///
    /// # Errors
    /// Any [`Code`].
    pub fn authenticate(&mut self) -> Result<(), PamError> {
        self.call("pam_authenticate", ffi::pam_authenticate, ffi::DISALLOW_NULL_AUTHTOK)
    }

    /// Whether the account may be used here and now.
    ///
    /// # Errors
    /// Any [`Code`].
    pub fn check_account(&mut self) -> Result<(), PamError> {
        self.call("pam_acct_mgmt", ffi::pam_acct_mgmt, ffi::DISALLOW_NULL_AUTHTOK)
    }

    /// Makes the user's credentials.
    ///
    /// # Errors
    /// Any [`Code`].
    pub fn establish_credentials(&mut self) -> Result<(), PamError> {
        self.call("pam_setcred", ffi::pam_setcred, ffi::ESTABLISH_CRED)
    }

    /// Removes them.
    ///
    /// # Errors
    /// Any [`Code`].
    pub fn delete_credentials(&mut self) -> Result<(), PamError> {
        self.call("pam_setcred", ffi::pam_setcred, ffi::DELETE_CRED | ffi::SILENT)
    }

    /// Opens the user's session.
    ///
    /// # Errors
    /// Any [`Code`].
    pub fn open_session(&mut self) -> Result<(), PamError> {
        self.call("pam_open_session", ffi::pam_open_session, 0)
    }

    /// Closes it.
    ///
    /// # Errors
    /// Any [`Code`].
    pub fn close_session(&mut self) -> Result<(), PamError> {
        self.call("pam_close_session", ffi::pam_close_session, ffi::SILENT)
    }

    /// Whoever answers the modules.
    pub fn conversation(&mut self) -> &mut C {
        // SAFETY: made by `Box::into_raw` and freed on drop only; PAM uses it only inside its own
        // functions, which borrow `self`.
        unsafe { &mut *self.conversation }
    }

    fn call(
        &mut self,
        name: &'static str,
        function: unsafe extern "C" fn(*mut ffi::Handle, c_int) -> c_int,
        flags: c_int,
    ) -> Result<(), PamError> {
        // SAFETY: the handle lives; these functions take any flags.
        let code = unsafe { function(self.handle, flags) };
        self.last = code;
        self.judge(name, code)
    }

    fn judge(&self, call: &'static str, code: c_int) -> Result<(), PamError> {
        if code == ffi::SUCCESS {
            return Ok(());
        }
        // SAFETY: pam_strerror does not look at the handle, and gives a static text.
        let words = unsafe { words(ffi::pam_strerror(self.handle, code)) };
        Err(PamError { call, code: meaning(code), text: words })
    }
}

impl<C: Conversation> Drop for Transaction<C> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: from pam_start, ended here only. The modules may speak a last time, so the
            // conversation is freed after.
            unsafe { ffi::pam_end(self.handle, self.last) };
        }
        // SAFETY: from `Box::into_raw`, freed here only.
        drop(unsafe { Box::from_raw(self.conversation) });
    }
}

/// What Linux-PAM's numbers mean (`_pam_types.h`).
fn meaning(code: c_int) -> Code {
    match code {
        7 | 8 | 10 | 11 => Code::Authentication,
        12 | 27 => Code::PasswordExpired,
        13 => Code::AccountExpired,
        6 => Code::Denied,
        other => Code::System(other),
    }
}

fn text(call: &'static str, value: &str) -> Result<CString, PamError> {
    CString::new(value).map_err(|_| own_error(call, "a text holds a zero byte"))
}

fn own_error(call: &'static str, text: &str) -> PamError {
    PamError { call, code: Code::System(ffi::BUF_ERR), text: text.to_owned() }
}

/// # Safety
/// `from` is null or a text that ends in a zero byte.
unsafe fn words(from: *const c_char) -> String {
    match from.is_null() {
        true => "unknown error".to_owned(),
        // SAFETY: the caller's promise.
        false => unsafe { CStr::from_ptr(from) }.to_string_lossy().into_owned(),
    }
}

fn entry(text: &CStr) -> Option<(OsString, OsString)> {
    let bytes = text.to_bytes();
    let cut = bytes.iter().position(|b| *b == b'=')?;
    let own = |part: &[u8]| OsString::from_vec(part.to_vec());
    Some((own(&bytes[..cut]), own(&bytes[cut + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoConversation;

    #[test]
    fn a_zero_byte_in_a_name_is_an_error() {
        let error = Transaction::start("login", "al\0ice", NoConversation::default());
        assert!(matches!(error.unwrap_err().code, Code::System(_)));
    }

    #[test]
    fn the_environment_comes_back_as_it_was_put() {
        let mut pam = Transaction::start("other", "nobody", NoConversation::default()).unwrap();
        pam.put_env("XDG_SESSION_TYPE=x11").unwrap();
        pam.put_env("EMPTY=").unwrap();
        let mut env = pam.env();
        env.sort();
        let expected = [("EMPTY", ""), ("XDG_SESSION_TYPE", "x11")];
        assert_eq!(env, expected.map(|(n, v)| (n.into(), v.into())));
        assert_eq!(pam.user().unwrap(), "nobody");
    }
}
