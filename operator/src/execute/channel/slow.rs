//! Withdrawals of network openings while Vault keeps the operator waiting.

use std::{pin::pin, time::Duration};

use subrosa_crds::names::ChannelRef;
use subrosa_plan::channel as plan;

use crate::{context::Context, execute::network};

/// How long Vault may take before network policies are narrowed without it, and how often after that.
const PROMPT: Duration = Duration::from_millis(500);

/// Waits for an answer of Vault. While it is slow, what this Channel or a peer has withdrawn is taken from the Channel's
/// network policy: for that the declarations are enough. Everything that both ends declare counts as open, so that an
/// outage closes nothing else.
pub async fn meanwhile<T>(ctx: &Context, name: &ChannelRef, answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    loop {
        match tokio::time::timeout(PROMPT, answer.as_mut()).await {
            Ok(answer) => return answer,
            Err(_) => narrow(ctx, name).await,
        }
    }
}

/// Narrows the policy by what is declared now: it may have changed while Vault was waited for.
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
