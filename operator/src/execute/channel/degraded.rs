//! What is still done when nothing can be made: before the namespace is prepared, and without the record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use subrosa_crds::{Reason, names::ChannelRef};
use subrosa_plan::{
    certificate::Observation,
    channel::{
        Plan,
        applied::{Applied, Control, Controls, Restart},
        validate::Problem,
    },
    network as policies,
    world::{World, declaration::Declaration, fault::Fault, policy::PolicyFacts},
};
use subrosa_records::channels::ChannelEntry;

use super::observe;
use crate::{context::Context, execute::network};

/// The result while the operator may not write in the namespace yet: every request would be refused.
pub(super) fn unprepared(entry: Result<ChannelEntry, Fault>) -> Applied {
    let fault =
        || Fault::new(Reason::NamespacePending, "the operator is being given its rights in this namespace");
    Applied {
        record: entry.and_then(|entry| entry.record.ok_or_else(fault)),
        observed: Observation::Unknown,
        controls: Controls::none(&fault()),
        keys: BTreeMap::new(),
        has_policy: false,
        default_deny: false,
        trusting: BTreeSet::new(),
        restart: Restart::NotDue,
        trust_bytes: None,
        pending: None,
    }
}

/// The result for a Channel that was Stalled from the start.
pub(super) fn nothing(problems: &[Problem]) -> Applied {
    let first = problems.first();
    let reason = first.map_or(Reason::Internal, |problem| problem.reason);
    let fault = || Fault::new(reason, "nothing is made for a Channel that is Stalled");
    Applied {
        record: Err(fault()),
        observed: Observation::Unknown,
        // Status reports separately that no key was planned.
        controls: Controls::none(&fault()).with(Control::Keys, Ok(())),
        keys: BTreeMap::new(),
        has_policy: false,
        default_deny: false,
        trusting: BTreeSet::new(),
        restart: Restart::NotDue,
        trust_bytes: None,
        pending: None,
    }
}

/// The result without the record: nothing may be made or opened, because earlier state is unknown. The certificate in
/// the Secret is still reported, which needs no Vault.
pub(super) async fn without_record(
    ctx: &Context,
    channel: &Declaration,
    plan: &Plan,
    fault: Fault,
    narrowed: Result<(), Fault>,
    now: Timestamp,
) -> Applied {
    let name = channel.name();
    // A first policy that opens nothing can be written without Vault, because it only closes.
    let network = match narrowed {
        Err(fault) => Err(fault),
        Ok(()) if ctx.cluster.read(|world| has_policy(world, name)) => Ok(true),
        Ok(()) => {
            let closed = Plan { policy: closed(plan), ..plan.clone() };
            network::open(ctx, channel, &closed, false).await
        }
    };
    Applied {
        observed: observe::certificate(ctx, channel, plan, now).await,
        has_policy: network.as_ref().is_ok_and(|there| *there),
        controls: Controls::none(&fault).with(Control::Network, network.map(|_| ())),
        keys: BTreeMap::new(),
        record: Err(fault),
        default_deny: ctx.cluster.read(|world| denies(world, &name.namespace)),
        trusting: BTreeSet::new(),
        restart: Restart::NotDue,
        trust_bytes: None,
        pending: None,
    }
}

fn has_policy(world: &World, name: &ChannelRef) -> bool {
    let policies = world.network_policies.get(&name.namespace);
    policies.is_some_and(|found| found.contains_key(&policies::policy_name(&name.name)))
}

/// Whether `namespace` has a default deny.
pub(super) fn denies(world: &World, namespace: &str) -> bool {
    let policy = world.network_policies.get(namespace).and_then(|found| found.get(policies::DEFAULT_DENY));
    let wanted = policies::default_deny(namespace, "").spec.unwrap_or_default();
    policy.and_then(PolicyFacts::spec).is_some_and(|spec| policies::same(&spec, &wanted))
}

/// The plan's policy without any connection, which is safe to write without the record.
fn closed(plan: &Plan) -> NetworkPolicy {
    let mut policy = plan.policy.clone();
    if let Some(spec) = &mut policy.spec {
        spec.ingress = Some(Vec::new());
        spec.egress = Some(Vec::new());
    }
    policy
}
