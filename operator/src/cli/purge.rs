//! `subrosa purge`: removes sealed files that cannot be opened any more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use kube::ResourceExt as _;
use subrosa_crds::{Destruction, TrustDomain, names::DataKeyName, sealing::Sealing};
use subrosa_destroyer::snapshots_kept;
use subrosa_worker::{
    cohort,
    purge::{self, DestroyedKeys, Proofs, Purge, PurgeProgress, PurgeReport, VaultWitness},
    session, settings, shown,
};
use tokio_util::sync::CancellationToken;

use super::{
    cluster::ClusterTarget,
    exit::Exit,
    manifest::{self, Sources},
    output::Screen,
    progress::{Progress, size},
    seal::WorkloadLogin,
    table::Table,
    words,
};

const EXAMPLES: &str = "\
Examples:
  subrosa purge /recordings                    # what would be removed, by the Destructions of the cluster
  subrosa purge --apply /recordings            # removes it
  kubectl get destructions,trustdomains -o json |
    kubectl exec -i deployment/recorder -c seal -- /subrosa purge --apply -f - /recordings

A file is removed when a finished Destruction proves that its key was destroyed, no snapshot of Vault holds that key any more,
and Vault says now that there is none.";

/// The page size of Destructions, which may have a thousand keys each.
const PAGE: u32 = 20;
/// How many files with problems are named.
const MOST_TOLD: u64 = 100;

/// Removes sealed files whose key was destroyed: nothing opens them, and they take room
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where sealed files lie
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Remove them; without it, nothing is removed, and what would be is shown
    #[arg(long)]
    apply: bool,
    /// Takes subdirectories as well
    #[arg(long)]
    recursive: bool,
    /// Destructions and TrustDomains in a file, a directory or - for standard input, instead of those of the cluster
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// The format; name prints the path of each file and nothing else
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    login: WorkloadLogin,
    #[command(flatten)]
    target: ClusterTarget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Name,
}

/// Runs the command.
///
/// # Errors
/// When settings, records, the cluster or Vault cannot be read, or Vault proves nothing.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let now = Timestamp::now();
    let sealing = args.login.settings()?;
    let (destroyed, mut wrong) = records(args, &sealing, screen).await?;
    let (keys, session) = session::open(&sealing, &settings::identity(&args.login.token_file))?;
    session.login().await.map_err(session::SessionError::from)?;
    let stop = CancellationToken::new();
    let _ends = stop.clone().drop_guard();
    tokio::spawn(async move { session.run(stop).await });
    let mut proofs = Proofs::new(VaultWitness::new(keys, sealing.id.clone()), living(&sealing, now)?);
    let purge = Purge {
        directories: args.directories.clone(),
        recursive: args.recursive,
        apply: args.apply,
        channel: sealing.id.clone(),
        now,
    };
    let mut report = PurgeReport::default();
    let mut telling = Telling {
        progress: Progress::of(0),
        screen,
        names: args.output == Format::Name,
        told: 0,
        failed: None,
    };
    let ended = purge::run(&purge, &destroyed, &mut proofs, &mut telling, &mut report).await;
    let Telling { progress, failed, .. } = telling;
    drop(progress);
    if let Some(error) = failed {
        return Err(error.into());
    }
    match args.output {
        Format::Table => screen.print(&table(&report).text(screen.paint()))?,
        Format::Json => screen.print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        Format::Name => {}
    }
    for line in said(&report) {
        screen.say(&line)?;
    }
    ended.context("what was not looked at stays")?;
    wrong |= report.failed > 0 || report.kept.keys().any(|why| why.is_odd());
    Ok(if wrong { Exit::Wrong } else { Exit::Done })
}

/// The recorded destruction of this Channel's keys, and whether one of the records is invalid.
async fn records(args: &Args, sealing: &Sealing, screen: &mut Screen) -> Result<(DestroyedKeys, bool)> {
    let mut destroyed = DestroyedKeys::of(sealing.id.clone(), sealing.channel.clone());
    let mut problems = Vec::new();
    let mut take = |records: Vec<Destruction>, domains: &[TrustDomain]| {
        for record in records {
            let domain = domains.iter().find(|domain| domain.name_any() == record.spec.trust_domain);
            if let Err(problem) = destroyed.take(&record, domain.and_then(snapshots_kept)) {
                problems.push(problem);
            }
        }
    };
    if args.files.is_empty() {
        let cluster = args.target.connect().await?;
        let domains = cluster.list_known::<TrustDomain>().await?.unwrap_or_default();
        cluster.pages(PAGE, |records| take(records, &domains)).await?;
    } else {
        let sources = Sources { files: args.files.clone(), recursive: false };
        let (manifests, findings) = manifest::read(&sources)?;
        if let Some(first) = findings.first() {
            bail!("{}", first.text(screen.paint_said()));
        }
        let (mut records, mut domains) = (Vec::new(), Vec::new());
        for manifest in manifests.iter().filter(|manifest| manifest.is_ours()) {
            match manifest.kind.as_str() {
                "Destruction" => records.push(manifest.read()?),
                "TrustDomain" => domains.push(manifest.read()?),
                _ => {}
            }
        }
        if records.is_empty() {
            bail!("the files hold no Destruction: kubectl get destructions,trustdomains -o json writes them");
        }
        take(records, &domains);
    }
    let label = screen.paint_said().bad("error");
    for problem in &problems {
        screen.say(&format!("{label}: {}", super::harmless(problem)))?;
    }
    Ok((destroyed, !problems.is_empty()))
}

/// The keys that the Channel seals with at `now`.
fn living(sealing: &Sealing, now: Timestamp) -> Result<Vec<DataKeyName>> {
    let current = cohort::current(sealing, now)?;
    let named = current
        .into_iter()
        .map(|one| Ok(DataKeyName { id: sealing.id.clone(), class: one.class, cohort: one.cohort.parse()? }));
    named.collect()
}

/// Tells what becomes of files while it goes on.
struct Telling<'a> {
    progress: Progress,
    screen: &'a mut Screen,
    names: bool,
    told: u64,
    /// Set where nobody reads it any more.
    failed: Option<std::io::Error>,
}

impl PurgeProgress for Telling<'_> {
    fn dead(&mut self, path: &Path) {
        if self.names && self.failed.is_none() {
            let screen = &mut *self.screen;
            let printed = self.progress.aside(|| screen.print(&format!("{}\n", shown(path))));
            self.failed = printed.err();
        }
    }

    fn trouble(&mut self, path: &Path, problem: &str) {
        self.told += 1;
        if self.told <= MOST_TOLD {
            let screen = &mut *self.screen;
            let label = screen.paint_said().bad("error");
            // The reader of standard output may have closed standard error.
            let _ = self.progress.aside(|| screen.say(&format!("{label}: {}: {problem}", shown(path))));
        }
    }

    fn looked(&mut self, bytes: u64) {
        self.progress.counter().fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    }
}

fn table(report: &PurgeReport) -> Table {
    let mut table = Table::new(["CLASS", "COHORT", "DESTROYED", "FILES", "SIZE"]);
    for one in &report.keys {
        let day = one.destroyed_at.strftime("%Y-%m-%d").to_string();
        let cells = [one.class.clone(), one.cohort.clone(), day, one.files.to_string(), size(one.bytes)];
        table.row(cells.map(Into::into));
    }
    table
}

/// Additional messages.
fn said(report: &PurgeReport) -> Vec<String> {
    let files = |count: u64| words::counted(usize::try_from(count).unwrap_or(usize::MAX), "file");
    let removed = if report.applied { "removed" } else { "would be removed" };
    let mut lines =
        vec![format!("{} {removed}, {} ({} bytes)", files(report.files), size(report.bytes), report.bytes)];
    for (why, count) in &report.kept {
        lines.push(format!("{} kept: {}", files(*count), why.words()));
    }
    if let Some(refusal) = &report.refusal {
        lines.push(format!("Vault: {refusal}"));
    }
    if report.failed > MOST_TOLD {
        lines.push(format!(
            "{} could not be read or removed; the first {MOST_TOLD} are named above",
            files(report.failed)
        ));
    } else if report.failed > 0 {
        lines.push(format!("{} could not be read or removed", files(report.failed)));
    }
    if report.left_out {
        lines.push("subdirectories were left out; --recursive takes them as well".to_owned());
    }
    if !report.applied && report.files > 0 {
        lines.push("nothing was removed; --apply removes them".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use subrosa_worker::purge::{PurgedKey, WhyKept};

    use super::*;
    use crate::cli::output::Paint;

    fn report(applied: bool) -> PurgeReport {
        let key = |cohort: &str, files: u64| PurgedKey {
            class: "call-recording".into(),
            cohort: cohort.into(),
            destruction: "contactcenter.20270101.0a1b2c3d".into(),
            destroyed_at: "2027-02-01T11:00:00Z".parse().unwrap(),
            files,
            bytes: files << 20,
        };
        PurgeReport {
            applied,
            files: 121,
            bytes: 121 << 20,
            keys: vec![key("2026w40", 1), key("2026w41", 120)],
            kept: BTreeMap::from([(WhyKept::NotDestroyed, 4000), (WhyKept::KeyBack, 1)]),
            failed: 1,
            ..PurgeReport::default()
        }
    }

    #[test]
    fn each_key_has_a_line_and_what_stays_has_its_reason() {
        insta::assert_snapshot!(table(&report(true)).text(Paint(false)), @r"
        CLASS            COHORT    DESTROYED    FILES   SIZE
        call-recording   2026w40   2027-02-01   1       1.0 MiB
        call-recording   2026w41   2027-02-01   120     120.0 MiB
        ");
        insta::assert_snapshot!(said(&report(true)).join("\n"), @r"
        121 files removed, 121.0 MiB (126877696 bytes)
        4000 files kept: no record says that their key was destroyed
        1 file kept: their key was destroyed and is back
        1 file could not be read or removed
        ");
        let shown = said(&report(false)).join("\n");
        assert!(shown.contains("would be removed") && shown.ends_with("--apply removes them"), "{shown}");
        let json = serde_json::to_value(report(false)).unwrap();
        assert_eq!((&json["kept"]["notDestroyed"], &json["applied"]), (&4000.into(), &false.into()));
        assert_eq!(json["keys"][1]["bytes"], 120 << 20);
    }

    #[test]
    fn the_living_keys_are_those_of_today() {
        let text = "\
channel: {namespace: cc-front, name: voice}
id: abcdefghijklmnop
vault: {address: 'https://openbao.security.svc:8200', transit: transit, auth: kubernetes, role: r, audience: vault}
timeZone: Europe/Amsterdam
classes:
- {name: chat, cohort: Month, anchor: CreatedAt, keep: 1y}
- {name: dossier, cohort: Year, anchor: LastChange, keep: 20y}
";
        let sealing: Sealing = serde_saphyr::from_str(text).unwrap();
        let living = living(&sealing, "2026-11-22T12:00:00Z".parse().unwrap()).unwrap();
        let living: Vec<_> = living.iter().map(ToString::to_string).collect();
        assert_eq!(living, ["abcdefghijklmnop.chat.2026m11", "abcdefghijklmnop.dossier.open-2026"]);
    }
}
