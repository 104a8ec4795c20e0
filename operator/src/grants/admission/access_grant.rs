//! Who asks for an AccessGrant is named in it, and only the granter says what became of it.

use subrosa_crds::{GROUP, VERSION};

use super::{Draft, Guard, demand, rule};
use crate::grants::Installation;

/// The policy about AccessGrants.
pub const GRANT: &str = "subrosa-access-grant";

/// Who asks does not approve, so nobody asks in another's name.
pub(super) fn guard(installation: &Installation) -> Guard {
    let granter = installation.granter_user();
    Draft {
        name: GRANT,
        description: "An AccessGrant names who asks for it; its status is the granter's.",
        rules: vec![rule(GROUP, VERSION, &["accessgrants", "accessgrants/status"], &["CREATE", "UPDATE"])],
        conditions: vec![],
        variables: vec![],
        validations: vec![
            demand(
                "request.operation != 'CREATE' || object.spec.requestedBy == request.userInfo.username".to_owned(),
                "'spec.requestedBy is ' + object.spec.requestedBy + ', and the request is made by ' + \
                 request.userInfo.username + ': who asks does not approve, so write your own name, as kubectl auth whoami \
                 shows it'"
                    .to_owned(),
            ),
            demand(
                format!("request.?subResource.orValue('') != 'status' || request.userInfo.username == '{granter}'"),
                format!(
                    "'the status of an AccessGrant is what the granter ({granter}) found and did; ' + \
                     request.userInfo.username + ' cannot write it'"
                ),
            ),
            demand(
                "size(object.metadata.?ownerReferences.orValue([])) == 0".to_owned(),
                "'AccessGrant ' + object.metadata.name + ' has ownerReferences: it goes with no other object; leave them out'"
                    .to_owned(),
            ),
        ],
    }
    .finish()
}
