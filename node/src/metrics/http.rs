//! `/metrics` for Prometheus and `/healthz` for whoever restarts the node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Metrics;

/// The media type of [`Metrics::text`].
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the node is well.
type Up = Arc<dyn Fn() -> bool + Send + Sync>;

/// Why the numbers cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on `{address}`: {source}")]
pub struct ServeError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// The task that serves, and where it listens (the port that was found free, if 0 was asked for). Dropping it
/// ends it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `/metrics` and `/healthz` on `address`; `up` says whether the node is well. Who can reach it can
/// read it: there is no login.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    up: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<Server, ServeError> {
    let fail = |source| ServeError { address, source };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let router = Router::new()
        .route("/metrics", get(show))
        .with_state(metrics)
        .route("/healthz", get(health))
        .with_state(Arc::new(up) as Up);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics server ended");
        }
    });
    Ok(Server { address, task })
}

async fn show(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text())
}

async fn health(State(up): State<Up>) -> (StatusCode, &'static str) {
    if up() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the swarm has stopped\n")
    }
}
