//! Ctrl-C, and the signals that ask a process to end.
//!
//! Owns: what the first one and the second one mean. The first asks the command to stop in
//! good order; the second ends the process at once, which is safe, only less tidy. Refuses:
//! what stopping means for a command, and SIGHUP, which `nohup` has a say in.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::Code;

/// Knows whether the user has had enough.
#[derive(Debug, Clone)]
pub struct Interrupt {
    asked: watch::Receiver<bool>,
}

impl Interrupt {
    /// Begins to listen. To be called once, inside the runtime.
    pub fn install() -> io::Result<Self> {
        let (asked, receiver) = watch::channel(false);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if asked.send_replace(true) {
                    // What the command may be about to say of the first is not waited for.
                    eprintln!("interrupted: ended at once; the same command goes on from here");
                    std::process::exit(Code::Interrupted as i32);
                }
            }
        });
        Ok(Self { asked: receiver })
    }

    /// Returns once the user has asked to stop, also if that was before.
    pub async fn wait(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            // Nobody listens any more, so nobody will ask.
            std::future::pending::<()>().await;
        }
    }

    /// Whether the user has asked to stop.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }
}
