//! Dashboards of what is measured, for Datadog and for Grafana: written from the table, so that they show nothing that is not
//! there. A graph for each metric, by its tags, in the order of the table.

use serde_json::{Value, json};

use super::{Kind, Metric, TABLE};

/// The dashboard's name, as the runbook has it.
const NAME: &str = "polymarket-prod";
/// Graphs beside each other, and how high each is.
const COLUMNS: u32 = 3;
const HEIGHT: u32 = 8;
const WIDTH: u32 = 8;

/// For Datadog: `deploy/dashboards/polymarket-prod.datadog.json`.
#[must_use]
pub fn datadog() -> Value {
    let widgets: Vec<Value> = TABLE.iter().map(datadog_widget).collect();
    json!({
        "title": NAME,
        "description": "What Slipstream measures. Written from its table of metrics.",
        "layout_type": "ordered",
        "widgets": widgets,
    })
}

fn datadog_widget(metric: &Metric) -> Value {
    let by =
        if metric.tags.is_empty() { String::new() } else { format!(" by {{{}}}", metric.tags.join(",")) };
    let name = metric.name;
    let query = match metric.kind {
        Kind::Gauge => format!("max:{name}{{*}}{by}"),
        Kind::Counter => format!("sum:{name}{{*}}{by}.as_rate()"),
        // An agent makes this series of what it is sent as a histogram.
        Kind::Histogram => format!("max:{name}.95percentile{{*}}{by}"),
    };
    json!({ "definition": {
        "type": "timeseries",
        "title": format!("{name}: {}", metric.meaning),
        "requests": [{ "q": query, "display_type": "line" }],
    } })
}

/// For Grafana, with a Prometheus as its source: `deploy/dashboards/slipstream.grafana.json`.
#[must_use]
pub fn grafana() -> Value {
    let panels: Vec<Value> = (0..).zip(TABLE).map(|(at, metric)| grafana_panel(at, metric)).collect();
    json!({
        "title": NAME,
        "uid": NAME,
        "schemaVersion": 38,
        "time": { "from": "now-6h", "to": "now" },
        "refresh": "30s",
        "templating": { "list": [{ "name": "source", "type": "datasource", "query": "prometheus" }] },
        "panels": panels,
    })
}

fn grafana_panel(at: u32, metric: &Metric) -> Value {
    let (name, tags) = (metric.underscored(), metric.tags.join(","));
    let by = if tags.is_empty() { String::new() } else { format!(" by ({tags})") };
    let query = match metric.kind {
        Kind::Gauge => format!("max{by} ({name})"),
        Kind::Counter => format!("sum{by} (rate({name}_total[5m]))"),
        Kind::Histogram => {
            let tags = if tags.is_empty() { "le".to_owned() } else { format!("le,{tags}") };
            format!("histogram_quantile(0.95, sum by ({tags}) (rate({name}_bucket[5m])))")
        }
    };
    let legend: Vec<String> = metric.tags.iter().map(|tag| format!("{{{{{tag}}}}}")).collect();
    json!({
        "id": at + 1,
        "type": "timeseries",
        "title": metric.name,
        "description": metric.meaning,
        "datasource": { "type": "prometheus", "uid": "${source}" },
        "gridPos": { "x": (at % COLUMNS) * WIDTH, "y": (at / COLUMNS) * HEIGHT, "w": WIDTH, "h": HEIGHT },
        "targets": [{ "refId": "A", "expr": query, "legendFormat": legend.join(" ") }],
    })
}
