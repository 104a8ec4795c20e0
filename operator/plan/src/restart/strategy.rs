//! How a workload replaces its pods, and how many are unavailable meanwhile.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How pods are replaced when their template changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All at once.
    Recreate,
    /// When somebody deletes them.
    OnDelete,
    /// Some at a time.
    Rolling {
        /// How many may be unavailable.
        unavailable: Amount,
        /// How many may be added.
        surge: Amount,
        /// Pods below this ordinal stay as they are (StatefulSet).
        partition: i32,
    },
}

/// A number of pods, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    value: i32,
    percent: bool,
    round_up: bool,
}

impl Amount {
    /// Exactly this many.
    pub const fn exactly(value: i32) -> Self {
        Self { value, percent: false, round_up: false }
    }

    /// The written value, or `default`; a percentage is rounded as the kind's controller does.
    pub fn of(written: Option<&IntOrString>, default: i32, round_up: bool) -> Self {
        match written {
            None => Self::exactly(default),
            Some(IntOrString::Int(value)) => Self::exactly(*value),
            Some(IntOrString::String(text)) => match text.strip_suffix('%').map(str::parse) {
                Some(Ok(value)) => Self { value, percent: true, round_up },
                // The API server allows nothing else.
                _ => Self::exactly(default),
            },
        }
    }

    /// 25 %, the default of a Deployment.
    pub const fn quarter(round_up: bool) -> Self {
        Self { value: 25, percent: true, round_up }
    }

    fn resolved(self, pods: i32) -> i32 {
        if !self.percent {
            return self.value.max(0);
        }
        let share = i64::from(self.value.max(0)) * i64::from(pods.max(0));
        let whole = if self.round_up { (share + 99) / 100 } else { share / 100 };
        i32::try_from(whole).unwrap_or(i32::MAX)
    }
}

impl Strategy {
    /// How many of `pods` may be unavailable at once.
    pub fn down_at_once(&self, pods: i32) -> i32 {
        match self {
            Self::Recreate | Self::OnDelete => pods,
            Self::Rolling { unavailable, surge, .. } => match unavailable.resolved(pods) {
                // If both are zero, controllers take one down, because nothing could move otherwise.
                0 if surge.resolved(pods) == 0 => pods.min(1),
                down => down.min(pods),
            },
        }
    }

    /// Why a change of the template would not replace the pods.
    pub fn never(&self) -> Option<String> {
        match self {
            Self::OnDelete => Some(
                "has updateStrategy OnDelete, which replaces no pod by itself: set RollingUpdate, or delete its pods in turn"
                    .to_owned(),
            ),
            Self::Rolling { partition, .. } if *partition > 0 => Some(format!(
                "has rollingUpdate.partition {partition}, below which no pod is replaced: set it to 0"
            )),
            Self::Recreate | Self::Rolling { .. } => None,
        }
    }
}
