//! Who the author of an AccessRole is, and that nobody gives more by one than they may.

use k8s_openapi::api::admissionregistration::v1::Validation;
use subrosa_crds::{GROUP, VERSION, access_role::MAX_CHANNELS};

use super::{Draft, Guard, demand, rule, variable};

/// The policy about authors of AccessRoles.
pub const AUTHOR: &str = "subrosa-access-author";

/// The author of a role does not review it, so people have to name themselves as the author. And who gives a role, as
/// `spec.grantedBy`, may grant each of its Channels.
pub(super) fn guard() -> Guard {
    let mut validations = vec![
        demand(
            "!has(object.spec.review) || request.userInfo.username.startsWith('system:') || \
             (request.operation == 'UPDATE' && object.spec == oldObject.spec) || \
             object.spec.review.author == request.userInfo.username"
                .to_owned(),
            "'spec.review.author is ' + object.spec.review.author + ', and the request is made by ' + request.userInfo.username + \
             ': who writes a role does not review it, so write your own name, as kubectl auth whoami shows it'"
                .to_owned(),
        ),
        demand(
            "!variables.gives || object.spec.grantedBy == request.userInfo.username".to_owned(),
            "'spec.grantedBy is ' + object.spec.grantedBy + ', and the request is made by ' + request.userInfo.username + ': who \
             writes a role, or changes one, gives it in their own name, as kubectl auth whoami shows it; or leave grantedBy out, and \
             somebody who may grant its Channels runs subrosa approve'"
                .to_owned(),
        ),
    ];
    validations.extend(granted("!variables.gives", "object.metadata.namespace", "spec.allow"));
    Draft {
        name: AUTHOR,
        description: "Who writes an AccessRole that has to be reviewed is named in it as its author, and who gives one may grant each \
                      Channel that it names.",
        rules: vec![rule(GROUP, VERSION, &["accessroles"], &["CREATE", "UPDATE"])],
        conditions: vec![],
        variables: vec![
            variable(
                "gives",
                "has(object.spec.grantedBy) && (request.operation != 'UPDATE' || object.spec != oldObject.spec)".to_owned(),
            ),
            // A name has no space. A role without Channels cannot be written.
            variable(
                "channels",
                "object.spec.allow.map(one, one.channels.join(' ')).join(' ').split(' ')".to_owned(),
            ),
        ],
        validations,
    }
    .finish()
}

/// That whoever makes the request may grant each of `variables.channels` in `namespace`, unless `except` holds. One question to the
/// authorizer costs a third of what an expression may cost, so each has an expression of its own.
pub(super) fn granted(except: &str, namespace: &str, field: &str) -> Vec<Validation> {
    let few = demand(
        format!("{except} || size(variables.channels) <= {MAX_CHANNELS}"),
        format!(
            "'{field} names ' + string(size(variables.channels)) + ' Channels, and at most {MAX_CHANNELS} can be asked for: write \
             several AccessRoles'"
        ),
    );
    let each = (0..MAX_CHANNELS).map(|index| {
        let channel = format!("variables.channels[{index}]");
        demand(
            format!(
                "{except} || size(variables.channels) <= {index} || authorizer.group('{GROUP}').resource('channels')\
                 .namespace({namespace}).name({channel}).check('grant').allowed()"
            ),
            format!(
                "'{field}: ' + request.userInfo.username + ' may not grant Channel ' + {channel} + ' of namespace ' + {namespace} + \
                 ', and nobody gives more than they may: leave it out, or ask for the verb grant on channels.{GROUP} \
                 (ClusterRole subrosa-channel-granter)'"
            ),
        )
    });
    std::iter::once(few).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_that_a_role_can_name_is_asked_for() {
        let spec = guard().policy.spec.unwrap();
        let asks: Vec<_> = spec.validations.unwrap().into_iter().map(|one| one.expression).collect();
        for index in 0..MAX_CHANNELS {
            let asked = asks.iter().filter(|one| one.contains(&format!("variables.channels[{index}]")));
            assert_eq!(asked.count(), 1, "{index}");
        }
        assert!(asks.iter().all(|one| one.matches("check(").count() <= 1));
    }
}
