//! Whether all trusted certificates of a Channel fit into its Secret.

use subrosa_crds::{
    Reason,
    condition::{self, Truth, Verdict},
};

use crate::{
    certificate::trust_room::{self, SECRET_LIMIT},
    channel::{Plan, applied::Applied},
    world::declaration::Declaration,
};

const NEARLY_FULL: Reason = Reason::TrustNearlyFull;

/// The condition TrustFits, shown once the trust files approach their limit.
pub(super) fn fits(channel: &Declaration, plan: &Plan, applied: &Applied) -> Option<Verdict> {
    if !plan.crowded.is_empty() {
        let all: Vec<_> = plan
            .crowded
            .iter()
            .map(|one| format!("{} is not trusted: {}", one.source, one.message))
            .collect();
        let message = format!("{}. Everything else goes on", all.join("; "));
        return Some(Verdict::new(condition::TRUST_FITS, Truth::False, trust_room::REASON, message));
    }
    let Some(bytes) = applied.trust_bytes else {
        let status = channel.status()?;
        let before = condition::find(&status.conditions, condition::TRUST_FITS)?;
        let (truth, reason) = match before.status.as_str() {
            "True" => (Truth::True, NEARLY_FULL),
            _ => (Truth::False, trust_room::REASON),
        };
        return Some(Verdict::new(condition::TRUST_FITS, truth, reason, before.message.clone()));
    };
    trust_room::is_nearly_full(bytes).then(|| {
        // In tenths, so that the message does not change with each certificate.
        let tenths = bytes.saturating_mul(10) / SECRET_LIMIT;
        let message = format!(
            "the trust files take more than {tenths}0 % of what a Secret holds: write only the authorities that issue the \
             other ends' certificates into CA bundles; what does not fit is refused"
        );
        Verdict::new(condition::TRUST_FITS, Truth::True, NEARLY_FULL, message)
    })
}
