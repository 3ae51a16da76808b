//! When this process is asked to end.

/// Resolves on SIGTERM or SIGINT.
#[cfg(unix)]
pub(crate) async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}
