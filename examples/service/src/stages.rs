//! The pipeline: each stage adds its part to a text's analysis and has the next one do the rest.
//!
//! `NEXT` is where the next stage is, HOST:PORT; `WORK` how many milliseconds the work of a stage takes beside (0).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};

use crate::{listen, setting, told_to_end};

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Process,
    Preprocess,
    Analyze,
    Report,
}

/// What goes from stage to stage, and at last back to the client.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Paper {
    text: String,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    counts: BTreeMap<String, usize>,
    #[serde(default)]
    report: String,
    /// Which replica of each stage did its part.
    #[serde(default)]
    served_by: Vec<String>,
}

/// A replica of a stage.
struct Replica {
    stage: Stage,
    name: String,
    work: Duration,
    next: Option<Uri>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Stage {
    /// The stage of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Stage::Process, Stage::Preprocess, Stage::Analyze, Stage::Report]
            .into_iter()
            .find(|stage| stage.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Stage::Process => "process",
            Stage::Preprocess => "preprocess",
            Stage::Analyze => "analyze",
            Stage::Report => "report",
        }
    }

    fn next(self) -> Option<Stage> {
        match self {
            Stage::Process => Some(Stage::Preprocess),
            Stage::Preprocess => Some(Stage::Analyze),
            Stage::Analyze => Some(Stage::Report),
            Stage::Report => None,
        }
    }

    /// Its part of the work.
    fn work(self, paper: &mut Paper) {
        match self {
            Stage::Process => paper.text = paper.text.trim().to_owned(),
            Stage::Preprocess => {
                let words = paper.text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
                paper.words = words.map(str::to_lowercase).collect();
            }
            Stage::Analyze => {
                for word in &paper.words {
                    *paper.counts.entry(word.clone()).or_default() += 1;
                }
            }
            Stage::Report => {
                let (words, different) = (paper.words.len(), paper.counts.len());
                paper.report = format!("{words} words, {different} of them different");
            }
        }
    }
}

/// Serves as a replica of this stage until it is told to end.
pub async fn serve(stage: Stage) -> anyhow::Result<()> {
    let next = match stage.next() {
        None => None,
        Some(next) => {
            let address = std::env::var("NEXT").context("NEXT is where the next stage is, HOST:PORT")?;
            Some(format!("http://{address}/{}", next.name()).parse::<Uri>().context("NEXT is HOST:PORT")?)
        }
    };
    let number: String = setting("SERVER_ID", "unknown")?;
    let replica = Arc::new(Replica {
        stage,
        name: format!("{} {number}", stage.name()),
        work: Duration::from_millis(setting("WORK", "0")?),
        next,
        client: Client::builder(TokioExecutor::new()).build_http(),
    });
    let router = Router::new()
        .route(&format!("/{}", stage.name()), post(answer))
        .route("/heartbeat", get(|| async {}))
        .with_state(replica);
    let (listener, _) = listen().await?;
    Ok(axum::serve(listener, router).with_graceful_shutdown(told_to_end()).await?)
}

async fn answer(State(replica): State<Arc<Replica>>, Json(mut paper): Json<Paper>) -> Response {
    tokio::time::sleep(replica.work).await;
    replica.stage.work(&mut paper);
    paper.served_by.push(replica.name.clone());
    match replica.passed_on(paper).await {
        Ok(paper) => Json(paper).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{}: {error:#}", replica.name)).into_response(),
    }
}

impl Replica {
    /// The paper as the stages behind this one leave it.
    async fn passed_on(&self, paper: Paper) -> anyhow::Result<Paper> {
        let Some(next) = self.next.clone() else { return Ok(paper) };
        let request = Request::post(next).header("content-type", "application/json");
        let request = request.body(Full::from(serde_json::to_vec(&paper)?))?;
        let (head, body) = self.client.request(request).await.context("the next stage")?.into_parts();
        let body = body.collect().await.context("the next stage's answer")?.to_bytes();
        ensure!(
            head.status == StatusCode::OK,
            "the next stage: {} {}",
            head.status,
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice(&body).context("the next stage's answer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_make_a_report_of_a_text() {
        let mut paper = Paper { text: " To be, or not to be\n".into(), ..Paper::default() };
        let mut stage = Stage::named("process");
        while let Some(this) = stage {
            this.work(&mut paper);
            stage = this.next();
        }
        assert_eq!(paper.counts["be"], 2);
        assert_eq!(paper.report, "6 words, 4 of them different");
        assert_eq!(Stage::named("else"), None);
    }
}
