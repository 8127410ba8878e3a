//! One enrolment: a connection without client certificate, one request, one answer.

use std::time::Duration;

use tancho_wire::frame::{Decoded, FrameDecoder, encode};
use tancho_wire::limits::HANDSHAKE_TIMEOUT_MS;
use tancho_wire::{CloseCode, Frame};

use super::registry::close;
use crate::nodes::service;
use crate::state::AppState;

/// Largest piece read at once.
const READ_BYTES: usize = 16 * 1024;

/// Serves one `tancho-enroll/1` connection to its end.
pub async fn serve_enrollment(app: AppState, connection: quinn::Connection) {
    let served = tokio::time::timeout(
        Duration::from_millis(HANDSHAKE_TIMEOUT_MS),
        answer(&app, &connection),
    )
    .await;
    let code = match served {
        Ok(Ok(())) => {
            // The agent closes when it has read the answer; the time limit is for agents that do not.
            let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
            let _ = tokio::time::timeout(patience, connection.closed()).await;
            CloseCode::DONE
        }
        Ok(Err(code)) => code,
        Err(_) => CloseCode::TIMEOUT,
    };
    close(&connection, code);
}

async fn answer(app: &AppState, connection: &quinn::Connection) -> Result<(), CloseCode> {
    let (mut send, mut receive) = connection.accept_bi().await.map_err(|_| CloseCode::DONE)?;
    let mut decoder = FrameDecoder::new();
    let request = loop {
        match decoder.next_frame().map_err(|violation| violation.code)? {
            Some(Decoded::Frame(Frame::EnrollRequest(request))) => break request,
            Some(Decoded::Frame(_)) => return Err(CloseCode::PROTOCOL),
            Some(Decoded::Ignored(_)) => {}
            None => {
                let chunk = receive
                    .read_chunk(READ_BYTES, true)
                    .await
                    .map_err(|_| CloseCode::DONE)?;
                decoder.push(&chunk.ok_or(CloseCode::PROTOCOL)?.bytes);
            }
        }
    };
    let frame = match service::enroll_node(app, &request).await {
        Ok(accepted) => Frame::EnrollAccepted(accepted),
        Err(refused) => Frame::EnrollRefused(refused),
    };
    let mut bytes = Vec::new();
    encode(&frame, &mut bytes);
    send.write_all(&bytes).await.map_err(|_| CloseCode::DONE)?;
    send.finish().map_err(|_| CloseCode::DONE)
}
