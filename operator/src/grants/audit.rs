//! Compares what was done with the table of grants, both ways: nothing beyond it, and nothing unused in it.

use super::{
    Installation,
    table::{AccessRequest, Grant, Verb},
};

/// The differences between what was done and what was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison<'a> {
    /// Requests that no row allows.
    pub beyond: Vec<AccessRequest<'a>>,
    /// Granted verbs that were not used.
    pub unused: Vec<(&'a Grant, Verb)>,
}

/// Compares successful requests from an audit log with the table.
///
/// Leave out what every ServiceAccount may do: API discovery and self reviews.
pub fn compare<'a>(
    table: &'a [Grant],
    done: &[AccessRequest<'a>],
    installation: &Installation,
) -> Comparison<'a> {
    let allowed = |access: &&AccessRequest<'_>| table.iter().any(|grant| grant.covers(access, installation));
    let beyond = done.iter().filter(|access| !allowed(access)).copied().collect();
    let used = |grant: &Grant, verb: Verb| {
        done.iter().any(|access| access.verb == verb.as_str() && grant.covers(access, installation))
    };
    let rows = table.iter().flat_map(|grant| grant.verbs.iter().map(move |verb| (grant, *verb)));
    // Binding and signing are checked as part of another request and have no log entry.
    let logged = |verb: Verb| !matches!(verb, Verb::Bind | Verb::Sign);
    let unused = rows.filter(|(grant, verb)| logged(*verb) && !used(grant, *verb)).collect();
    Comparison { beyond, unused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::table::table;

    #[test]
    fn both_sides_of_the_difference_are_named() {
        let installation = Installation::default();
        let table = table(&installation);
        let access =
            |namespace, resource, name, verb| AccessRequest { namespace, group: "", resource, name, verb };
        let done = [
            access("", "pods", "", "list"),
            access("", "secrets", "", "list"),
            access("cc-front", "secrets", "voice-mtls", "create"),
            access("subrosa-system", "serviceaccounts/token", "subrosa", "create"),
        ];
        let comparison = compare(&table, &done, &installation);
        assert_eq!(comparison.beyond, [done[1]]);
        let granted: usize = table.iter().map(|grant| grant.verbs.len()).sum();
        assert_eq!(comparison.unused.len(), granted - 3 - 2, "three were used; bind and sign are not logged");
        assert!(
            !comparison.unused.iter().any(|(grant, verb)| grant.resource == "pods" && *verb == Verb::List)
        );
        assert!(
            comparison.unused.iter().any(|(grant, verb)| grant.resource == "pods" && *verb == Verb::Watch)
        );
    }
}
