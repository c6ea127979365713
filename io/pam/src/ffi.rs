//! `security/pam_appl.h` and `security/_pam_types.h` of Linux-PAM.

use libc::{c_char, c_int, c_void};

/// Opaque.
#[repr(C)]
pub struct Handle {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Message {
    pub style: c_int,
    pub text: *const c_char,
}

#[repr(C)]
pub struct Response {
    pub text: *mut c_char,
    /// Unused, must be 0.
    pub code: c_int,
}

pub type Callback = unsafe extern "C" fn(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int;

#[repr(C)]
pub struct Conv {
    pub callback: Callback,
    pub data: *mut c_void,
}

pub const PROMPT_ECHO_OFF: c_int = 1;
pub const PROMPT_ECHO_ON: c_int = 2;
pub const ERROR_MSG: c_int = 3;
pub const TEXT_INFO: c_int = 4;

/// The most messages of one call.
pub const MAX_MESSAGES: c_int = 32;
/// The longest answer, bytes, its end mark included.
pub const MAX_RESPONSE: usize = 512;

pub const SUCCESS: c_int = 0;
pub const BUF_ERR: c_int = 5;
pub const CONV_ERR: c_int = 19;
/// Flag: make credentials.
pub const ESTABLISH_CRED: c_int = 0x2;
/// Flag: remove credentials.
pub const DELETE_CRED: c_int = 0x4;
/// Flag: an account without a password gets no access by it.
pub const DISALLOW_NULL_AUTHTOK: c_int = 0x1;
/// Flag: no messages.
pub const SILENT: c_int = 0x8000;

#[link(name = "pam")]
unsafe extern "C" {
    pub fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conv,
        handle: *mut *mut Handle,
    ) -> c_int;
    pub fn pam_end(handle: *mut Handle, status: c_int) -> c_int;
    pub fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    pub fn pam_get_item(handle: *const Handle, item: c_int, value: *mut *const c_void) -> c_int;
    pub fn pam_strerror(handle: *mut Handle, code: c_int) -> *const c_char;
    pub fn pam_putenv(handle: *mut Handle, entry: *const c_char) -> c_int;
    pub fn pam_getenvlist(handle: *mut Handle) -> *mut *mut c_char;
    pub fn pam_authenticate(handle: *mut Handle, flags: c_int) -> c_int;
    pub fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> c_int;
    pub fn pam_setcred(handle: *mut Handle, flags: c_int) -> c_int;
    pub fn pam_open_session(handle: *mut Handle, flags: c_int) -> c_int;
    pub fn pam_close_session(handle: *mut Handle, flags: c_int) -> c_int;
}
