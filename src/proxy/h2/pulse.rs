//! Whether a replica is still at the other end of a connection.

use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use h2::{Ping, PingPong};

use super::traffic::Traffic;
use crate::proxy::forward::{Deadline, Deadlines, Moment};

/// After which silence a connection with requests on it is asked whether it still is one, and how long that may take.
const PING: Duration = Duration::from_secs(10);

/// Asks a replica that says nothing, though it has requests.
#[derive(Debug)]
pub(super) struct Pulse {
    pings: PingPong,
    all: Rc<Deadlines>,
    deadline: Deadline,
    /// When something has to have been heard.
    until: Moment,
    /// Whether it was asked, and has not answered.
    is_asked: bool,
}

impl Pulse {
    /// That of a connection which begins now.
    pub(super) fn new(pings: PingPong, all: &Rc<Deadlines>) -> Self {
        Pulse { pings, all: all.clone(), deadline: all.deadline(), until: all.after(PING), is_asked: false }
    }

    /// Ready when nobody is there any more. To be called whenever the connection has gone on.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, traffic: &Traffic) -> Poll<()> {
        if self.is_asked && self.pings.poll_pong(cx).is_ready() {
            self.is_asked = false;
            traffic.hear();
        }
        if traffic.was_heard() || traffic.requests() == 0 {
            self.until = self.all.after(PING);
        }
        while self.deadline.is_over_at(self.until, cx) {
            if self.is_asked || self.pings.send_ping(Ping::opaque()).is_err() {
                return Poll::Ready(());
            }
            self.is_asked = true;
            self.until = self.all.after(PING);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{task::Waker, time::Instant};

    use h2::client;
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn one_that_says_nothing_is_asked_and_then_given_up_unless_nobody_waits_for_it() {
        let (near, _far) = duplex(4096);
        let (_sender, mut connection) = client::handshake(near).await.unwrap();
        let (begun, traffic) = (Instant::now(), Traffic::new());
        let all = Deadlines::new(begun);
        let mut pulse = Pulse::new(connection.ping_pong().unwrap(), &all);
        let mut is_gone = |after: u64| {
            all.tick(begun + Duration::from_secs(after));
            pulse.poll(&mut Context::from_waker(Waker::noop()), &traffic).is_ready()
        };
        let request = traffic.join();
        assert!(!is_gone(0) && !is_gone(9));
        request.hear();
        assert!(!is_gone(10) && !is_gone(19), "it was heard");
        assert!(!is_gone(21), "it is asked");
        request.hear();
        assert!(!is_gone(30) && !is_gone(39), "it was heard again");
        assert!(is_gone(41), "it has not answered");
        drop(request);
        assert!(!is_gone(42) && !is_gone(99), "nobody waits for it");
    }
}
