//! Withdraws network openings while Vault is slow.

use std::{pin::pin, time::Duration};

use subrosa_crds::names::ChannelRef;
use subrosa_plan::channel as plan;

use crate::{context::Context, execute::network};

/// How long to wait for Vault before policies are narrowed without it, and the pause between repetitions.
const PROMPT: Duration = Duration::from_millis(500);

/// Awaits an answer of Vault. While that takes long, removes from the Channel's network policy what this Channel or a
/// peer withdrew, by their declarations alone. What both ends still declare stays open, so that an outage closes
/// nothing else.
pub async fn meanwhile<T>(ctx: &Context, name: &ChannelRef, answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    loop {
        match tokio::time::timeout(PROMPT, answer.as_mut()).await {
            Ok(answer) => return answer,
            Err(_) => narrow(ctx, name).await,
        }
    }
}

/// Narrows the policy by the current declarations, which may have changed during the wait.
async fn narrow(ctx: &Context, name: &ChannelRef) {
    if !ctx.cluster.is_prepared(&name.namespace) {
        return;
    }
    let planned = ctx.cluster.read(|world| {
        let channel = world.channel(name)?.clone();
        let plan = plan::plan_withdrawals(&channel, world, ctx.now()).ok()?;
        Some((channel, plan))
    });
    let Some((channel, plan)) = planned else { return };
    if let Err(fault) = network::narrow(ctx, &channel, &plan).await {
        tracing::warn!(channel = %name, reason = fault.reason.as_str(), "{}", fault.message);
    }
}
