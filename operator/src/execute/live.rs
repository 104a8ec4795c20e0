//! Whether a Channel is still what the API server has, asked where the watch alone could mislead.
//!
//! The garbage collector takes a Channel's objects with it, and the watch of those may tell so before the watch of
//! Channels does. What is missing is therefore made again only for a Channel that is there: otherwise a certificate would
//! be issued for one that is gone.

use subrosa_crds::Reason;
use subrosa_plan::world::{declaration::Declaration, fault::Fault};

use super::objects;
use crate::{context::Context, observe::asked};

/// Confirms with the API server that `channel` is there and is not being deleted.
///
/// # Errors
/// [`Reason::ViewOutdated`] when it is gone or another has its name; when the API server does not say.
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
