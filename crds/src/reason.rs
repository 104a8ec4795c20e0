//! Why something is so, as one word that does not change between releases.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

macro_rules! reasons {
    ($($name:ident)*) => {
        /// Why something is so, in a condition, an Event, a metric or a record. `docs/status.md` explains each.
        ///
        /// The operator decides by these. Text of a status or a record becomes one by [`Reason::read`] first: another
        /// release may have written it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "docs/status.md explains each, and a test compares the two")]
        pub enum Reason {
            $($name,)*
        }

        impl Reason {
            /// Every reason, in the order of their words.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word, as the API, Events, metrics and records have it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

reasons! {
    AccessWithdrawn
    Adopted
    AdoptedByAnother
    AdoptionLost
    AgreementExpired
    AgreementExpiring
    AgreementMissing
    AgreementsValid
    AllOpen
    AnchorOverdue
    AnotherRun
    ApprovalDenied
    Approved
    AuditLogNotGiven
    AuditLogUnreadable
    AuditMode
    AuthorMayGrant
    AuthorityBlocked
    AuthorityChanged
    AuthorityKeyUnreadable
    AuthorityNotValid
    AuthorityRefused
    AwaitingApproval
    AwaitingConsent
    AwaitingRelease
    BackupFailed
    BackupOverdue
    BackupPending
    BackupRetentionMissing
    BackupStoreMissing
    BackupSuspended
    BreakGlassUsed
    CABundleExpired
    CABundleMalformed
    CABundleNotFound
    CABundleTooLarge
    CertificateExpired
    CertificateIssued
    CertificateNotReady
    CertificateRefused
    CertificateWaits
    ChannelNotInForce
    ClockJumped
    ClockSkew
    ClockWentBack
    Closed
    Closing
    CommonNameNotAllowed
    ConfigInvalid
    ConflictingRoles
    ConnectionClosed
    Consistent
    Contradictory
    CredentialsMissing
    CredentialsRefused
    CurrentEverywhere
    DNSNameNotAllowed
    DatabaseNotListening
    DefaultDenyPending
    DefinitionsOutdated
    DeliveredInSecret
    Destroyed
    DigestMismatch
    DumpFailed
    DumpVersion
    DurationTooLong
    Effective
    ExceptionEnding
    ExceptionExpired
    ExceptionOverdue
    Expiring
    ExternalCertificateExpired
    ExternalCertificateExpiring
    ExternalCertificateNotYetValid
    ExternalKeyMismatch
    ExternalSecretMalformed
    ExternalSecretNotFound
    ExternalSecretOurs
    ExtraTrustEnded
    ForbiddenAddress
    ForeignLogin
    ForeignObject
    ForeignPolicy
    GrantExpired
    GroupNotEnrolled
    GroupsExhausted
    GuardsEdited
    HandshakeFailed
    Held
    HostNetworkPods
    InForce
    InForceUnproven
    InPlace
    Internal
    InvalidDate
    InvalidUnverifiedUserAnnotations
    IrreversibleKey
    IssuanceLimited
    Issued
    KeptTooLong
    KeyMismatch
    KeyMissing
    KeyNotHeld
    KeyPending
    KeyReplaced
    KeySoftDeleted
    KeyUnrecorded
    KeyVersionsWithheld
    KeysInPlace
    KeysOrphaned
    KeysUnseen
    KubernetesConflict
    KubernetesForbidden
    KubernetesRefused
    KubernetesUnreachable
    ListenerMismatch
    ListenerSilent
    LockNotKept
    LoggedIn
    LoginMissing
    Malformed
    ManifestForged
    MarkingKeys
    Missing
    NameDiffers
    NamesChanged
    NamesNoKey
    NamesPending
    NamespaceFrozen
    NamespaceNotGoverned
    NamespacePending
    NoChannel
    NoDefaultDeny
    NoGroupsPrefix
    NoSuchRun
    NoTLSListener
    NoTrustDomain
    NoneNeeded
    NotDue
    NotFound
    NotGrantable
    NotInPlace
    NotJudged
    NotLeading
    NotListed
    NotListening
    NotMounted
    NotOrphaned
    NotPlanned
    NotProbed
    NotReconciled
    NothingDeclared
    NothingGiven
    NothingKept
    NothingSealed
    NothingToAdopt
    Open
    OpeningWithdrawn
    OtherPolicyEngine
    OtherTrustDomain
    OwnershipNotKept
    PartlyAdopted
    PersonUnknown
    PlaintextListener
    PodCertificatesUnavailable
    PodNotFound
    PoliciesApplied
    PolicyChanged
    PolicyMissing
    ProofFailed
    RateLimited
    RecordLost
    RecordNewer
    RecordUnreadable
    RecordsLost
    Refused
    Released
    ReportOnly
    RepositoryDamaged
    ReservedGroup
    RestartAwaitsPods
    RestartAwaitsRollout
    RestartHeld
    RestoreDiffers
    RestoreUnproven
    RestoreVerified
    Resurrected
    RetentionConflict
    RetentionPolicyForbidden
    RetentionPolicyNotFound
    Retrying
    ReviewDue
    ReviewOverdue
    Revoked
    Revoking
    RightsPending
    RotationNotSet
    RunFailed
    ScheduleInvalid
    Scheduled
    SecretConflict
    SecretKept
    ServedInPlaintext
    ServiceAccountConflict
    ServiceAccountMismatch
    ServiceAccountNotFound
    SetAside
    SetupOutdated
    SlotsExhausted
    SoftDeleteUnsupported
    StagingOverdue
    StaleCertificate
    StateRestored
    StoreFull
    StoreOfAnotherCluster
    StoreOfAnotherDomain
    StorePending
    StoreRefused
    StoreRestored
    StoreUnknown
    StoreUnreachable
    SubPathMount
    SwitchedOff
    TakenBack
    TargetFailed
    TimeZoneUnknown
    TooLate
    TooManyAdopted
    TooMuchDue
    TrustChanged
    TrustDomainNotFound
    TrustDomainPending
    TrustDomainTerminating
    TrustNearlyFull
    TrustTooLarge
    TrustWithdrawn
    UnknownDataClass
    UnknownListener
    Unproven
    UnsupportedKeyType
    UseNotReviewed
    UsesCounted
    UsesNotSeen
    VaultAnswerUnexpected
    VaultConfigInvalid
    VaultConflict
    VaultEntryDeleted
    VaultFault
    VaultLoginRefused
    VaultNameInvalid
    VaultNotFound
    VaultNotReady
    VaultPathOccupied
    VaultPermissionDenied
    VaultRedirected
    VaultRefused
    VaultRequestRefused
    VaultRoleTaken
    VaultSealed
    VaultShared
    VaultTimeout
    VaultTokenNotFound
    VaultTokenRejected
    VaultUnavailable
    VaultUnreachable
    ViewOutdated
    Voided
    VolumeEmpty
    VolumeMissing
    VolumeNotMounted
    VolumeShrank
    VolumeUnreadable
    WorkUnderWay
    WorkerImageUnknown
    WorkloadConflict
    WorkloadRestarted
    WrongIssuer
}

impl Reason {
    /// The reason with this word; none where this release does not know it.
    pub fn read(word: &str) -> Option<Self> {
        let at = Self::ALL.binary_search_by(|reason| reason.as_str().cmp(word)).ok()?;
        Self::ALL.get(at).copied()
    }

    /// The reason of a condition; none where this release does not know it.
    pub fn of(condition: &Condition) -> Option<Self> {
        Self::read(&condition.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_its_reason() {
        assert!(Reason::ALL.is_sorted_by(|one, next| one.as_str() < next.as_str()), "the list is not sorted");
        for reason in Reason::ALL {
            assert_eq!(Reason::read(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::read("Nonsense"), None);
    }
}
