use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{ExtensionReport, ExtensionState, Plan, Reload, Waiting};

/// How the last reconciliation went: what `status` shows of the configuration, and the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// The documents that were read, by rising precedence.
    pub documents: Vec<String>,
    /// What was done.
    pub done: Vec<String>,
    /// What is true of the configuration now.
    pub conditions: Vec<Condition>,
}

/// One thing that is true or not, in the form of Kubernetes' conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What: `Valid`, `Applied`, `RebootNeeded`, and `Extension/NAME` for each extension: it is merged as the document says.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so.
    pub status: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// The reason of a condition that says that a step failed.
const STEP_FAILED: &str = "StepFailed";

/// How executing a plan ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The documents are no configuration: nothing was done.
    Invalid(String),
    /// Every step that is not in `failures` was done.
    Executed {
        /// The steps that failed, and why.
        failures: Vec<String>,
    },
}

impl Report {
    /// Where it is: in memory, for it is of this boot.
    pub const PATH: &'static str = "/run/basalt/reconcile.json";

    /// The conditions after a plan was executed.
    pub fn conditions(plan: &Plan, outcome: &Outcome) -> Vec<Condition> {
        let failures = match outcome {
            Outcome::Invalid(why) => {
                return vec![Condition::new("Valid", false, "Invalid", why)];
            }
            Outcome::Executed { failures } => failures,
        };
        let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        let applied = match (failures.is_empty(), refusals.is_empty()) {
            (true, true) => {
                Condition::new("Applied", true, "AsWritten", "the machine is as its documents say")
            }
            (false, _) => Condition::new("Applied", false, STEP_FAILED, &failures.join("; ")),
            (true, false) => Condition::new("Applied", false, "Refused", &refusals.join("; ")),
        };
        let reboot: Vec<String> =
            plan.waiting.iter().filter(|one| one.needs_reboot()).map(Waiting::to_string).collect();
        let reboot = if reboot.is_empty() {
            Condition::new("RebootNeeded", false, "NothingWaits", "")
        } else {
            Condition::new("RebootNeeded", true, "WaitsForReboot", &reboot.join("; "))
        };
        let valid = Condition::new("Valid", true, "Valid", "");
        let merges = [Reload::Extensions, Reload::Configuration].map(|what| what.to_string());
        let merge = failures.iter().find(|failure| merges.iter().any(|merge| failure.starts_with(merge)));
        let extensions = plan.extensions.iter().map(|report| extension(report, merge));
        [valid, applied, reboot].into_iter().chain(extensions).collect()
    }

    /// Whether everything is as the documents say.
    pub fn is_good(&self) -> bool {
        let good =
            |condition: &Condition| condition.status || !matches!(&*condition.kind, "Valid" | "Applied");
        self.conditions.iter().all(good)
    }

    /// Whether a step failed, not only something of the document can't be done here.
    pub fn has_failures(&self) -> bool {
        self.conditions.iter().any(|condition| condition.reason == STEP_FAILED)
    }

    /// What `status` shows beneath the machine's own status.
    pub fn status_text(&self) -> String {
        let documents = match self.documents.len() {
            0 => "no document".to_owned(),
            1 => "1 document".to_owned(),
            more => format!("{more} documents"),
        };
        let conditions: String = self.text().lines().map(|line| format!("    {line}\n")).collect();
        format!("\n  configuration: {documents}\n{conditions}")
    }

    /// For people: one line a condition that says something.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Condition { kind, status, reason, message } in &self.conditions {
            let sign = if *status { "" } else { "not " };
            if message.is_empty() {
                continue;
            }
            // Writing to a text can't fail.
            match writeln!(text, "{sign}{kind} ({reason}): {message}") {
                Ok(()) | Err(std::fmt::Error) => {}
            }
        }
        text
    }
}

/// `failure` is why merging failed, if it did: then nobody knows what of it is there.
fn extension(report: &ExtensionReport, failure: Option<&String>) -> Condition {
    let ExtensionReport { name, state, why } = report;
    let why = why.as_deref().unwrap_or_default();
    let (status, reason, message) = match state {
        ExtensionState::Merged | ExtensionState::Earlier if let Some(failure) = failure => {
            (false, "NotMerged", failure.clone())
        }
        ExtensionState::Merged => (true, "Merged", "it is merged".to_owned()),
        ExtensionState::Earlier => (false, "Earlier", format!("{why}; the one before is merged")),
        ExtensionState::Absent => (false, "Absent", why.to_owned()),
        ExtensionState::OtherRelease => (false, "OtherRelease", why.to_owned()),
    };
    Condition::new(&format!("Extension/{name}"), status, reason, &message)
}

impl Condition {
    fn new(kind: &str, status: bool, reason: &str, message: &str) -> Self {
        Self { kind: kind.to_owned(), status, reason: reason.to_owned(), message: message.to_owned() }
    }
}
