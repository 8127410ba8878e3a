//! Verification service (PS3.4 annex A): the answer to C-ECHO.

use super::command::{Command, Response};
use super::status;

/// The response PDU.
#[must_use]
pub fn answer(request: &Command, context_id: u8) -> Vec<u8> {
    Response {
        request,
        status: status::SUCCESS,
        comment: None,
    }
    .to_pdu(context_id)
}
