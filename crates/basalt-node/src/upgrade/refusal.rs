use basalt_formats::bootentry::EntryName;
use basalt_image::layout::Role;
use basalt_types::{Architecture, ByteSize, ImageName, ImageVersion};
use serde::{Serialize, Serializer};

/// Why nothing is upgraded or rolled back. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "refusal")]
pub enum UpgradeRefusal {
    /// This boot came from no slot: a live system, or recovery.
    #[error("this boot came from no slot (it is {started})")]
    NoSlot {
        /// Where it came from.
        started: String,
    },
    /// The disk lacks the other slot.
    #[error("the disk has no slot {slot}: it lacks `{role}`")]
    MissingSlot {
        /// Which slot.
        slot: basalt_types::Slot,
        /// Its partition that is missing.
        role: Role,
    },
    /// The disk has no room for a recovery system.
    #[error("the disk has no recovery system: it lacks `{role}`")]
    NoRecovery {
        /// Its partition that is missing.
        role: Role,
    },
    /// The release is another image's.
    #[error("this machine runs the image `{running}`, and the release is of `{wanted}`")]
    OtherImage {
        /// What runs.
        running: ImageName,
        /// What is offered.
        wanted: ImageName,
    },
    /// The release is for other processors.
    #[error("this machine is {running}, and the release is for {wanted}")]
    OtherArchitecture {
        /// What this machine is.
        running: Architecture,
        /// What is offered.
        wanted: Architecture,
    },
    /// The release is older than what runs.
    #[error("{wanted} is older than {running}, which runs")]
    Downgrade {
        /// What runs.
        running: ImageVersion,
        /// What is offered.
        wanted: ImageVersion,
    },
    /// The release has the version that runs, and another content.
    #[error("{version} runs already, with another content than the release {version} that is offered")]
    SameVersion {
        /// Both versions.
        version: ImageVersion,
    },
    /// The release was tried on this machine and no boot of it was found good.
    #[error("{version} was tried on this machine, and no boot of it was found good (`{file}`)")]
    FailedBefore {
        /// The release.
        version: ImageVersion,
        /// Its entry.
        #[serde(serialize_with = "as_text")]
        file: EntryName,
    },
    /// The content does not fit the partition.
    #[error("{} is too small: it has {}, and the release needs {}", .role, .has.human(), .needs.human())]
    SlotTooSmall {
        /// Which partition.
        role: Role,
        /// Its size.
        has: ByteSize,
        /// What goes there.
        needs: ByteSize,
    },
    /// The release needs more room on the ESP than there is and can be made.
    #[error("the ESP is too full: {} are free or can be freed, and the release needs {}", .free.human(), .needs.human())]
    EspFull {
        /// Free, with everything removed that may be.
        free: ByteSize,
        /// What the UKI takes.
        needs: ByteSize,
    },
    /// Nothing on the ESP starts what runs, so there would be nothing to fall back to.
    #[error("no boot entry starts what runs, so there would be nothing to fall back to")]
    RunningHasNoEntry,
    /// What runs was not found good yet, and the other slot may hold the last release that was.
    #[error("what runs was not found good yet (`{file}`), and until then nothing is overwritten")]
    NotFoundGood {
        /// Its entry.
        #[serde(serialize_with = "as_text")]
        file: EntryName,
    },
    /// Another partition has the ids of the release's root already.
    #[error("partition {number} has the ids of the release's root already, and ids are there once")]
    IdsTaken {
        /// Which partition.
        number: u32,
    },
    /// There is no other release that was found good.
    #[error("there is no other release to go back to: slot {slot} {problem}")]
    NothingToGoBackTo {
        /// The other slot.
        slot: basalt_types::Slot,
        /// Why it is none.
        problem: NotARelease,
    },
}

/// Why a slot is nothing to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum NotARelease {
    /// Nothing was ever written, or an upgrade did not finish.
    #[error("holds no whole release")]
    Unfinished,
    /// No boot entry leads there.
    #[error("holds a release that no boot entry starts")]
    NoEntry,
    /// Its entry says that it was never found good.
    #[error("holds a release that was never found good (`{0}`)")]
    NotGood(#[serde(serialize_with = "as_text")] EntryName),
}

impl UpgradeRefusal {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::NoSlot { .. } => "boot the machine from a slot of its disk".into(),
            Self::MissingSlot { .. } => {
                "`basalt-agent provision --plan` says why the first boot did not make it; a recipe with `disk.slotB: false` \
                 makes machines that are not upgraded"
                    .into()
            }
            Self::NoRecovery { .. } => {
                "`basalt-agent provision --plan` says why the first boot did not make it; a recipe with `disk.recovery: false` \
                 makes machines without one"
                    .into()
            }
            Self::OtherImage { .. } => "give a release of this machine's image; another image is installed anew".into(),
            Self::OtherArchitecture { wanted, .. } => {
                format!("give a release that was built for this machine, not for {wanted}")
            }
            Self::Downgrade { .. } => {
                "to go back to the other slot: `basalt-agent rollback`; to install an older release: --allow-downgrade"
                    .into()
            }
            Self::SameVersion { .. } => "give the new build a version of its own".into(),
            Self::FailedBefore { .. } => {
                "`basalt-agent history` says what happened; --retry tries it again".into()
            }
            Self::SlotTooSmall { .. } => {
                "build a smaller release, or install anew with a larger `disk.slot`: partitions never grow".into()
            }
            Self::EspFull { .. } => "remove files of your own from the ESP, which is /efi or /boot".into(),
            Self::RunningHasNoEntry => {
                "look into EFI/Linux on the ESP; install the release anew if its UKI is gone".into()
            }
            Self::NotFoundGood { .. } => {
                "wait until `systemctl status boot-complete.target` is active, or go back: `basalt-agent rollback`".into()
            }
            Self::IdsTaken { .. } => "the release is on this disk already; look at it with `lsblk -o +PARTUUID`".into(),
            Self::NothingToGoBackTo { .. } => {
                "install the release that you want: basalt-agent upgrade --allow-downgrade SOURCE".into()
            }
        }
    }
}

fn as_text<S: Serializer>(name: &EntryName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}
