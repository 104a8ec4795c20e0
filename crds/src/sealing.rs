//! The settings with which a workload seals and opens its Channel's data: the content of the ConfigMap
//! `<channel>-sealing`, which `subrosa seal` and `subrosa unseal` read as a file.
//!
//! The operator writes it and programs of earlier releases may read it, ignoring fields that they do not know. So a
//! new field must not change the meaning of others.

use serde::{Deserialize, Serialize};

use crate::{
    cohort::CohortPeriod,
    names::{ChannelId, ChannelRef},
    retention_policy::Anchor,
};

/// The key of the ConfigMap under which it stands, and the file's name where that is mounted.
pub const FILE: &str = "sealing.yaml";
/// The role of Kubernetes auth in Vault that every workload logs in as.
pub const WORKLOAD_ROLE: &str = "subrosa-workload";

/// All of it. Nothing in it is secret: with it alone nobody opens anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealing {
    /// The Channel whose data it is.
    pub channel: ChannelRef,
    /// Its identity in Vault: what the names of its keys begin with.
    pub id: ChannelId,
    /// Where the keys are.
    pub vault: SealingVault,
    /// The time zone in which a day, and so a cohort, begins.
    pub time_zone: String,
    /// What is sealed.
    pub classes: Vec<SealingClass>,
    /// How a recording is known to be finished, where the Channel's preset says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Finished>,
}

/// How a recording is known to be finished, for `subrosa seal --watch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finished {
    /// It has not changed for a while, and no writer is known to hold it open.
    #[default]
    Quiet,
    /// Its writer closed it or renamed it, as the kernel tells.
    Closed,
    /// It has a finished name: the recorder renames what is finished.
    Named,
}

impl Finished {
    /// As `--finished` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Closed => "closed",
            Self::Named => "named",
        }
    }
}

/// Where the keys are, and how a workload logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealingVault {
    /// `https://host:port`.
    pub address: String,
    /// Whether the address may be http: for development only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure: bool,
    /// PEM certificates; where there are any, the only authorities that are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The mount of the transit engine.
    pub transit: String,
    /// The mount of Kubernetes auth.
    pub auth: String,
    /// The role that workloads log in as.
    pub role: String,
    /// The audience of the ServiceAccount token that logs in.
    pub audience: String,
}

/// One class of data, as the Channel's RetentionPolicy has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealingClass {
    /// Its name.
    pub name: String,
    /// How long the anchor dates of one cohort span.
    pub cohort: CohortPeriod,
    /// The date from which `keep` runs.
    pub anchor: Anchor,
    /// How long it is kept, such as `90d`.
    pub keep: String,
    /// How long it may wait in an open cohort for its anchor date, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for: Option<String>,
}

impl Sealing {
    /// As the file has it. The same settings give the same bytes.
    ///
    /// # Errors
    /// None that depends on the settings: they have nothing that YAML cannot say.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(self)
    }

    /// Settings as a file has them.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn from_yaml(text: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(text)
    }

    /// The class called `name`.
    pub fn class(&self, name: &str) -> Option<&SealingClass> {
        self.classes.iter().find(|class| class.name == name)
    }
}
