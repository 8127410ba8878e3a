//! Both ends of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{Refusal, Reply, Request, carry_out};
use crate::state::AppState;

/// Longest request line in bytes.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Longest reply line in bytes: lists of tens of thousands.
const REPLY_BYTES_MAX: u64 = 64 << 20;
/// Commands at once; more wait for their turn.
const COMMANDS_AT_ONCE_MAX: usize = 8;

#[derive(Serialize, Deserialize)]
struct ReplyLine {
    #[serde(default)]
    ok: Option<Value>,
    #[serde(default)]
    refused: Option<Refusal>,
    #[serde(default)]
    file_bytes: Option<u64>,
}

/// Listens on the socket until the relay stops. The caller holds the data folder's lock, so a socket that is there
/// already belongs to nobody.
pub fn listen(app: &AppState) -> anyhow::Result<()> {
    let path = super::socket_path(&app.config.data_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&path).with_context(|| {
        format!(
            "listening on {} (a path of at most 100 bytes expected)",
            path.display()
        )
    })?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let app = app.clone();
    app.clone().tasks.spawn(async move {
        let places = std::sync::Arc::new(tokio::sync::Semaphore::new(COMMANDS_AT_ONCE_MAX));
        loop {
            let accepted = tokio::select! {
                () = app.shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { continue };
            let place = std::sync::Arc::clone(&places).acquire_owned().await;
            let serving = app.clone();
            app.tasks.spawn(async move {
                if let Err(error) = answer(&serving, stream).await {
                    tracing::debug!(error = %error, "a command was not answered");
                }
                drop(place);
            });
        }
        let _ = std::fs::remove_file(path);
    });
    Ok(())
}

async fn answer(app: &AppState, stream: UnixStream) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(REQUEST_BYTES_MAX).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(request) => carry_out(app, request).await,
        Err(_) => Err(Refusal {
            code: "command_unknown".to_owned(),
            detail: "the running relay does not know this command: is it another version?".to_owned(),
        }),
    };
    let (head, file) = match reply {
        Ok(Reply { value, file: None }) => (
            ReplyLine {
                ok: Some(value),
                refused: None,
                file_bytes: None,
            },
            None,
        ),
        Ok(Reply {
            value,
            file: Some(mut file),
        }) => {
            let position = file.stream_position().await?;
            let n_bytes = file.metadata().await?.len().saturating_sub(position);
            (
                ReplyLine {
                    ok: Some(value),
                    refused: None,
                    file_bytes: Some(n_bytes),
                },
                Some(file),
            )
        }
        Err(refusal) => (
            ReplyLine {
                ok: None,
                refused: Some(refusal),
                file_bytes: None,
            },
            None,
        ),
    };
    let mut text = serde_json::to_string(&head)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    if let Some(mut file) = file {
        tokio::io::copy(&mut file, &mut stream).await?;
    }
    stream.shutdown().await?;
    Ok(())
}

/// Connects to the running relay; `None` when none runs.
pub async fn connect(path: &Path) -> anyhow::Result<Option<UnixStream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        // Too long a path for a socket: then nobody can listen there either.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("speaking to the running relay at {}", path.display()))
        }
    }
}

/// Sends one request and takes the reply. A file that follows is put into an unnamed temporary file first.
pub async fn ask(stream: UnixStream, request: &Request) -> anyhow::Result<Reply> {
    let mut stream = BufReader::new(stream);
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    let mut line = String::new();
    (&mut stream).take(REPLY_BYTES_MAX).read_line(&mut line).await?;
    let head: ReplyLine = serde_json::from_str(&line).context("the running relay gave no answer")?;
    if let Some(refusal) = head.refused {
        return Err(refusal.into());
    }
    let Some(n_bytes) = head.file_bytes else {
        return Ok(Reply {
            value: head.ok.unwrap_or_default(),
            file: None,
        });
    };
    let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
    let copied = tokio::io::copy(&mut stream.take(n_bytes), &mut file).await?;
    if copied != n_bytes {
        bail!("the running relay sent {copied} of {n_bytes} bytes");
    }
    file.rewind().await?;
    Ok(Reply {
        value: head.ok.unwrap_or_default(),
        file: Some(file),
    })
}
