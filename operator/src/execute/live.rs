//! Confirms with the API server that a Channel still exists.
//!
//! The garbage collector deletes a Channel's objects with it, and their watch may show that before the watch of
//! Channels does. So a missing object is made again only after this check; otherwise a deleted Channel would get a
//! new certificate.

use subrosa_crds::Reason;
use subrosa_plan::world::{declaration::Declaration, fault::Fault};

use super::objects;
use crate::{context::Context, observe::asked};

/// Confirms that `channel` exists and is not being deleted.
///
/// # Errors
/// [`Reason::ViewOutdated`] when it is gone or another has its name; others when the request to the API server fails.
pub async fn confirm(ctx: &Context, channel: &Declaration) -> Result<(), Fault> {
    let name = channel.name();
    let live = asked::uid(&ctx.client, name).await;
    let live = live.map_err(|error| objects::fault(&format!("reading Channel {name}"), &error))?;
    if live.is_some() && live.as_deref() == channel.uid() {
        return Ok(());
    }
    Err(Fault::new(
        Reason::ViewOutdated,
        format!("what is known of Channel {name} is older than what the API server has: it is read anew"),
    ))
}
