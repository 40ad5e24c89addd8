//! What a node decides: observed facts and the image's wishes to a plan, and facts to a status.
//!
//! `Observed → plan_provision → NodePlan` (or every refusal) · `BootFacts → plan_live → NodePlan` · `SshFacts → plan_identity → NodePlan` ·
//! `Facts → Status → text or JSON` · `health`: `Trial + answers → Verdict` · `NodeSpec → render → files below /etc` · `upgrade`: `NodeFacts + UpdateInfo → UpgradePlan` ·
//! `install`: `InstallFacts + InstallWish → InstallPlan` · `reconcile`: `Machine + NodeSpec + Record → Plan` · `doctor`: `DoctorFacts → [Finding]` ·
//! `redact`: text → text without secrets
//!
//! Invariants: slot A and the partitions that were booted from never change; a data partition with its final label is
//! never formatted, whatever it holds; a plan that was cut anywhere is finished by planning again; a plan applied is
//! followed by a plan without steps, which says why; a live system has no step that writes to a disk.
//!
//! Not here: anything that opens a file, starts a program or asks the clock (`basalt-agent`).

pub mod banner;
mod boot;
pub mod cloud;
pub mod doctor;
pub mod health;
mod identity;
pub mod install;
mod live;
mod machine_id;
pub mod openrc;
pub mod package;
mod plan;
mod provision;
pub mod reconcile;
pub mod redact;
pub mod render;
pub mod reset;
mod signature;
pub mod status;
pub mod upgrade;

pub use boot::{BootFacts, BootSlot};
pub use identity::{HostKey, SshFacts, plan_identity};
pub use live::plan_volatile;
pub use machine_id::{MachineId, MachineIdError};
pub use plan::{NodePlan, Note, Place, Step};
pub use provision::{
    Credential, DiskFacts, KernelPartition, Link, Observed, Refusal, Rival, partition_path, plan_provision,
};
pub use signature::Signature;
