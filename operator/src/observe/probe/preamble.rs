//! The plaintext dialogue before TLS, for listeners that begin with one.
//!
//! Sources: PostgreSQL, "Message Flow", SSLRequest; RFC 3207 for SMTP; RFC 3501, 6.2.1 for IMAP. Reads byte by byte,
//! so that no byte of the TLS handshake is consumed.

use subrosa_crds::channel::ListenerTls;
use subrosa_plan::world::answers::Answer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Length and code of an SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The probe's name in SMTP, a name that cannot exist (RFC 6761).
const GREETING: &[u8] = b"EHLO probe.subrosa.invalid\r\n";
/// The longest line, and the most lines of one reply.
const LIMIT: (usize, usize) = (2048, 64);

/// Conducts the dialogue; the rest of `stream` is TLS.
///
/// # Errors
/// The answer to report where the listener does not switch to TLS.
pub(super) async fn begin<S>(stream: &mut S, how: ListenerTls) -> Result<(), Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let changes = match how {
        ListenerTls::Direct | ListenerTls::None => true,
        ListenerTls::PostgreSQL => postgresql(stream).await?,
        ListenerTls::Smtp => smtp(stream).await?,
        ListenerTls::Imap => imap(stream).await?,
    };
    if changes { Ok(()) } else { Err(Answer::Plaintext) }
}

async fn postgresql<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<bool, Answer> {
    say(stream, &SSL_REQUEST).await?;
    Ok(stream.read_u8().await.map_err(|_| Answer::NoCertificate)? == b'S')
}

async fn smtp<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<bool, Answer> {
    if !smtp_reply(stream, b"220").await? {
        return Ok(false);
    }
    say(stream, GREETING).await?;
    if !smtp_reply(stream, b"250").await? {
        return Ok(false);
    }
    say(stream, b"STARTTLS\r\n").await?;
    smtp_reply(stream, b"220").await
}

/// Reads one reply of one or more lines; returns whether it is the wanted one.
async fn smtp_reply<S: AsyncRead + Unpin>(stream: &mut S, wanted: &[u8]) -> Result<bool, Answer> {
    for _ in 0..LIMIT.1 {
        let line = line(stream).await?;
        // All but the last line of a reply have a hyphen after the code.
        if line.get(3) != Some(&b'-') {
            return Ok(line.starts_with(wanted));
        }
    }
    Ok(false)
}

async fn imap<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<bool, Answer> {
    if !line(stream).await?.starts_with(b"* OK") {
        return Ok(false);
    }
    say(stream, b"a STARTTLS\r\n").await?;
    for _ in 0..LIMIT.1 {
        let line = line(stream).await?;
        // Untagged lines are notifications about something else.
        if !line.starts_with(b"* ") {
            return Ok(line.starts_with(b"a OK"));
        }
    }
    Ok(false)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, words: &[u8]) -> Result<(), Answer> {
    stream.write_all(words).await.map_err(|_| Answer::NoCertificate)
}

async fn line<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, Answer> {
    let mut line = Vec::new();
    while line.len() < LIMIT.0 {
        match stream.read_u8().await.map_err(|_| Answer::NoCertificate)? {
            b'\n' => return Ok(line),
            byte => line.push(byte),
        }
    }
    Err(Answer::Plaintext)
}
