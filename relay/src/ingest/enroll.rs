//! One enrolment: a connection without client certificate, one request, one answer.

use std::time::Duration;

use tancho_wire::frame::encode;
use tancho_wire::limits::HANDSHAKE_TIMEOUT_MS;
use tancho_wire::{CloseCode, Frame};
use tokio::io::AsyncWriteExt;

use super::carrier::{Carrier, FrameReader, Writer, say_farewell};
use super::session::End;
use crate::nodes::service;
use crate::state::AppState;

/// Serves one `tancho-enroll/1` connection to its end.
pub async fn serve_enrollment(app: AppState, carrier: Carrier, mut receive: FrameReader, mut send: Writer) {
    let patience = Duration::from_millis(HANDSHAKE_TIMEOUT_MS);
    let served = tokio::time::timeout(patience, answer(&app, &mut receive, &mut send)).await;
    let code = match served {
        Ok(Ok(())) => {
            // The agent closes when it has read the answer; the time limit is for agents that do not.
            let _ = tokio::time::timeout(patience, receive.next()).await;
            CloseCode::DONE
        }
        Ok(Err(code)) => code,
        Err(_) => CloseCode::TIMEOUT,
    };
    match carrier {
        Carrier::Quic(_) => {
            let _ = tokio::time::timeout(patience, carrier.closed()).await;
            carrier.close(code);
        }
        Carrier::Tcp(_) => say_farewell(&mut send, code).await,
    }
}

async fn answer(app: &AppState, receive: &mut FrameReader, send: &mut Writer) -> Result<(), CloseCode> {
    let request = match receive.next().await {
        Ok(Some(Frame::EnrollRequest(request))) => request,
        Ok(Some(_)) => return Err(CloseCode::PROTOCOL),
        Ok(None) | Err(End::Gone) => return Err(CloseCode::DONE),
        Err(End::Close(code)) => return Err(code),
    };
    let frame = match service::enroll_node(app, &request).await {
        Ok(accepted) => Frame::EnrollAccepted(accepted),
        Err(refused) => Frame::EnrollRefused(refused),
    };
    let mut bytes = Vec::new();
    encode(&frame, &mut bytes);
    let sent = async {
        send.write_all(&bytes).await?;
        send.shutdown().await
    };
    sent.await.map_err(|_| CloseCode::DONE)
}
