//! The report as tables.

use std::collections::BTreeSet;

use super::report::{Attention, Report};
use crate::cli::{
    harmless,
    output::Paint,
    table::{Cell, Table, Tone},
    words,
};

/// The report as text.
pub fn table(report: &Report, paint: Paint) -> String {
    let mut parts = Vec::new();
    let mut said = Said::default();
    if !report.hidden.is_empty() {
        let text = format!("Not shown, for you may not list them: {}", report.hidden.join(", "));
        parts.push(format!("{}\n", paint.odd(&text)));
    }
    if report.hidden.contains(&"TrustDomains") {
        // Reported above.
    } else if report.trust_domains.is_empty() {
        parts.push(
            "No TrustDomain: the compliance office applies one, and its namespaces get its label.\n"
                .to_owned(),
        );
    } else {
        parts.push(domains(report, &mut said).text(paint));
    }
    if !report.attention.is_empty() {
        parts.push(others(report, &mut said).text(paint));
    }
    match (&report.namespace, report.channels.is_empty()) {
        (Some(namespace), true) => {
            parts.push(format!("No Channel in namespace {namespace}; -A shows those of all.\n"))
        }
        (None, true) => parts.push("No Channel.\n".to_owned()),
        (_, false) => {
            parts.push(channels(report, &mut said).text(paint));
            parts.push(summary(report, paint));
        }
    }
    parts.join("\n")
}

fn domains(report: &Report, said: &mut Said) -> Table {
    let mut table =
        Table::new(["TRUST DOMAIN", "READY", "REASON", "MODE", "CHANNELS READY", "ATTENTION", "VAULT"]);
    for row in &report.trust_domains {
        table.row([
            harmless(&row.name).into(),
            truth(&row.ready),
            harmless(&row.reason).into(),
            Cell::new(row.mode, if row.mode == "Enforce" { Tone::Plain } else { Tone::Odd }),
            row.channels.clone().into(),
            Cell::new(row.attention.to_string(), if row.attention == 0 { Tone::Plain } else { Tone::Odd }),
            harmless(&row.vault).into(),
        ]);
        said.say(&mut table, row.problem.as_ref());
    }
    table
}

fn others(report: &Report, said: &mut Said) -> Table {
    let mut table = Table::new(["NEEDS ATTENTION", "NAME"]);
    for row in &report.attention {
        table.row([row.kind.into(), harmless(&row.name).into()]);
        said.say(&mut table, Some(&row.problem));
    }
    table
}

fn channels(report: &Report, said: &mut Said) -> Table {
    let mut table =
        Table::new(["NAMESPACE", "CHANNEL", "TYPE", "READY", "REASON", "CONNECTIONS", "CERTIFICATE"]);
    for row in &report.channels {
        let all_open = row.connections.split_once('/').is_some_and(|(open, all)| open == all);
        let certificate = if row.certificate_late { Tone::Bad } else { Tone::Plain };
        table.row([
            harmless(&row.namespace).into(),
            harmless(&row.name).into(),
            row.type_.clone().unwrap_or_else(|| "-".to_owned()).into(),
            truth(&row.ready),
            harmless(&row.reason).into(),
            Cell::new(harmless(&row.connections), if all_open { Tone::Plain } else { Tone::Odd }),
            Cell::new(row.certificate.clone(), certificate),
        ]);
        said.say(&mut table, row.problem.as_ref());
    }
    table
}

/// The next steps that stand on the page: one that is for everything is said once.
#[derive(Default)]
struct Said(BTreeSet<String>);

impl Said {
    fn say(&mut self, table: &mut Table, problem: Option<&Attention>) {
        let Some(problem) = problem else { return };
        let tone = if problem.serious { Tone::Bad } else { Tone::Odd };
        table.below(Cell::new(harmless(&format!("{}: {}", problem.reason, problem.message)), tone));
        if let Some(next) = &problem.next_step
            && self.0.insert(next.clone())
        {
            table.below(Cell::new(harmless(&format!("next: {next}")), Tone::Faint));
        }
    }
}

fn truth(status: &str) -> Cell {
    let tone = match status {
        "True" => Tone::Good,
        "False" => Tone::Bad,
        _ => Tone::Odd,
    };
    Cell::new(status, tone)
}

fn summary(report: &Report, paint: Paint) -> String {
    let of = |wanted: &dyn Fn(&super::report::ChannelRow) -> bool| {
        report.channels.iter().filter(|row| wanted(row)).count()
    };
    let ready = of(&|row| row.ready == "True");
    let wrong = of(&|row| row.problem.as_ref().is_some_and(|problem| problem.serious));
    let waiting = of(&|row| row.problem.as_ref().is_some_and(|problem| !problem.serious));
    let mut text = format!("{} of {} ready", ready, words::counted(report.channels.len(), "Channel"));
    if wrong > 0 {
        text.push_str(&format!(", {wrong} with a problem"));
    }
    if waiting > 0 {
        text.push_str(&format!(", {waiting} waiting"));
    }
    let text = if wrong > 0 { paint.bad(&text) } else { paint.good(&text) };
    format!("{text}; subrosa explain channel/NAME -n NAMESPACE tells why\n")
}
