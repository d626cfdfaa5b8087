//! A report as draft-inadarei-api-health-check-06 has it (application/health+json), and how much of it whom is told.

use serde_json::{Map, Value, json};

use super::{CheckReport, Report, Status};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// How things do, and no more: to strangers.
    Statuses,
    /// What was measured and said, too: to operators.
    Everything,
}

impl Report {
    /// The checks, by `component:measurement`, and each component by its name alone with its worst status.
    #[must_use]
    pub fn document(&self, detail: Detail) -> Value {
        let mut checks = Map::new();
        let mut components: Map<String, Value> = Map::new();
        for check in &self.checks {
            let readings = match detail {
                Detail::Everything => told(check),
                Detail::Statuses => vec![json!({ "status": check.status.word() })],
            };
            checks.insert(check.check.name(), Value::Array(readings));
            let worst = self.of_component(check.check.component).word();
            components.insert(check.check.component.to_owned(), json!({ "status": worst }));
        }
        json!({ "status": self.word(), "checks": checks, "components": components })
    }

    /// The worst status of a component; unknown where there is none of this name.
    #[must_use]
    pub fn of_component(&self, component: &str) -> Status {
        let of = self.checks.iter().filter(|check| check.check.component == component);
        of.map(|check| check.status).max().unwrap_or(Status::Unknown)
    }

    /// The draft knows no `unknown` of the whole.
    fn word(&self) -> &'static str {
        match self.status {
            Status::Unknown => Status::Warn.word(),
            status => status.word(),
        }
    }
}

fn told(check: &CheckReport) -> Vec<Value> {
    let common = |status: Status| {
        let mut row = Map::new();
        row.insert("componentType".to_owned(), json!(check.check.kind));
        row.insert("status".to_owned(), json!(status.word()));
        if let Some(at) = check.at {
            row.insert("time".to_owned(), json!(at.to_string()));
            row.insert("took_ms".to_owned(), json!(super::millis(check.took)));
        }
        row
    };
    if check.readings.is_empty() {
        return vec![Value::Object(common(check.status))];
    }
    let row = |reading: &super::Reading| {
        let mut row = common(reading.status);
        if !reading.of.is_empty() {
            row.insert("componentId".to_owned(), json!(reading.of));
        }
        if let Some(value) = reading.value {
            row.insert("observedValue".to_owned(), json!(value));
            row.insert("observedUnit".to_owned(), json!(check.check.unit));
        }
        // Left out when all is well, as the draft has it.
        if reading.status != Status::Pass && !reading.output.is_empty() {
            row.insert("output".to_owned(), json!(reading.output));
        }
        Value::Object(row)
    };
    check.readings.iter().map(row).collect()
}
