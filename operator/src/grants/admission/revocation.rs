//! What keeps an AccessRevocation: it ends by Approvals, and only the granter says what became of it.

use subrosa_crds::{GROUP, VERSION};

use super::{Draft, Guard, demand, rule};
use crate::grants::Installation;

/// The policy about AccessRevocations.
pub const REVOCATION: &str = "subrosa-access-revocation";

/// An AccessRevocation cannot be deleted before the granter confirmed its release.
pub(super) fn guard(installation: &Installation) -> Guard {
    let granter = installation.granter_user();
    Draft {
        name: REVOCATION,
        description: "An AccessRevocation is deleted only after its release was approved; its status is the granter's.",
        rules: vec![rule(
            GROUP,
            VERSION,
            &["accessrevocations", "accessrevocations/status"],
            &["CREATE", "UPDATE", "DELETE"],
        )],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            demand(
                "request.operation != 'DELETE' || oldObject.?status.?conditions.orValue([]).exists(condition, \
                 condition.type == 'Ready' && condition.status == 'True' && condition.reason == 'Released')"
                    .to_owned(),
                "'AccessRevocation ' + oldObject.metadata.name + ' is not released: have its end approved (subrosa approve \
                 accessrevocation/' + oldObject.metadata.name + '); it can be deleted when condition Ready is True with \
                 reason Released'"
                    .to_owned(),
            ),
            demand(
                format!("request.?subResource.orValue('') != 'status' || request.userInfo.username == '{granter}'"),
                format!(
                    "'the status of an AccessRevocation is what the granter ({granter}) found and did; ' + \
                     request.userInfo.username + ' cannot write it'"
                ),
            ),
            demand(
                "request.operation == 'DELETE' || size(object.metadata.?ownerReferences.orValue([])) == 0".to_owned(),
                "'AccessRevocation ' + object.metadata.name + ' has ownerReferences: it goes with no other object; leave \
                 them out'"
                    .to_owned(),
            ),
        ],
    }
    .finish()
}
