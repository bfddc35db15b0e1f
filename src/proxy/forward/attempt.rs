//! One attempt to have a replica answer, and the way of both bodies when it does.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Arrived, Buffers, Cut, Flow,
    client::{Asking, Client, Network, Thread},
};
use crate::{
    proxy::framing::{
        Body, Framing, Progress, Refusal, Response, Version,
        rewrite::{self, Delivery},
    },
    table::{InFlight, Replica},
};

/// What a client that waits for it is told before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A response under way.
struct Answering {
    download: Flow,
    /// Whether the replica keeps its connection.
    keeps: bool,
    /// Whether the client's connection is kept.
    keep_alive: bool,
    switches: bool,
}

/// Why there is no response.
pub(super) enum Failed {
    /// The replica broke off or sent nonsense.
    Replica,
    /// It did not begin in time.
    Late,
    /// The client broke off.
    Client,
    /// The client sent nonsense.
    Refused(Refusal),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends the request to this replica and its response to the client. Whether the client's connection is kept; an
    /// error if no response has begun.
    pub(super) async fn attempt<N: Network>(
        &mut self,
        thread: &Thread<N>,
        asking: &mut Asking,
        claim: InFlight,
    ) -> Result<bool, Failed> {
        let replica = claim.replica();
        let mut only_new = false;
        loop {
            let idle = if only_new { None } else { thread.idle.take(replica) };
            let was_idle = idle.is_some();
            let (mut upstream, opened) = match idle {
                Some(idle) => idle,
                None => (self.connect(thread, replica).await?, Instant::now()),
            };
            if !asking.upload.rewind() {
                return Err(Failed::Replica);
            }
            match self.answer(thread, asking, &mut upstream).await {
                // what looked idle had been closed: no fault of anybody's
                Err(Failed::Replica) if was_idle && (asking.upload.is_unsent() || asking.idempotent) => {
                    only_new = true;
                }
                Err(failed) => return Err(failed),
                Ok((answering, arrived)) => {
                    let (kept, reusable) =
                        self.relay(thread, asking, answering, &mut upstream, arrived).await;
                    if reusable {
                        thread.idle.give_back(replica, upstream, opened, Instant::now());
                    }
                    return Ok(kept);
                }
            }
        }
    }

    async fn connect<N: Network>(&self, thread: &Thread<N>, replica: &Replica) -> Result<N::Stream, Failed> {
        thread.network.connect(replica.address).await.map_err(|_| {
            replica.suspect();
            Failed::Replica
        })
    }

    /// Sends the request until a response begins, and the beginning of that to the client.
    async fn answer<N: Network>(
        &mut self,
        thread: &Thread<N>,
        asking: &mut Asking,
        upstream: &mut N::Stream,
    ) -> Result<(Answering, Arrived), Failed> {
        self.deadline.set(thread.response_timeout);
        if std::mem::take(&mut asking.expects_continue) {
            self.write(CONTINUE).await.map_err(|_| Failed::Client)?;
        }
        let mut arrived = Arrived::default();
        let answering = poll_fn(|cx| {
            if !asking.upload.is_ended() {
                let buffers = &mut *thread.buffers.borrow_mut();
                let rest = self.arrived.rest();
                match asking.upload.poll(cx, &mut self.stream, upstream, buffers, rest) {
                    Poll::Ready(Err(Cut::Source(_) | Cut::Broken(Refusal::Truncated))) => {
                        return Poll::Ready(Err(Failed::Client));
                    }
                    Poll::Ready(Err(Cut::Broken(refusal))) => {
                        return Poll::Ready(Err(Failed::Refused(refusal)));
                    }
                    Poll::Ready(Err(Cut::Sink(_))) if asking.upload.is_unsent() => {
                        return Poll::Ready(Err(Failed::Replica));
                    }
                    // a replica that takes no more may still have answered
                    Poll::Ready(_) | Poll::Pending => {}
                }
            }
            match self.poll_response(cx, thread, asking, upstream, &mut arrived) {
                Poll::Pending if self.deadline.is_over(cx) => Poll::Ready(Err(Failed::Late)),
                answering => answering,
            }
        });
        let answering = answering.await?;
        Ok((answering, arrived))
    }

    /// Waits for the response's head; it goes to the client with what came of its body, in one write.
    fn poll_response<U: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        thread: &Thread<impl Network>,
        asking: &Asking,
        upstream: &mut U,
        arrived: &mut Arrived,
    ) -> Poll<Result<Answering, Failed>> {
        let Buffers { input, output, fields } = &mut *thread.buffers.borrow_mut();
        output.clear();
        let stream = &mut self.stream;
        let begun = arrived.poll_head(cx, upstream, input, |cx, bytes, progress| {
            let mut at = 0;
            loop {
                let parsed = Response::parse(&bytes[at..], asking.asked, progress, &thread.limits, fields)?;
                let Some(response) = parsed else {
                    if at > 0 {
                        output.clear(); // interim responses are read again with what follows them
                        *progress = Progress::default();
                    }
                    return Ok(None);
                };
                let answering = deliver(output, &response, asking);
                at += response.len;
                if response.is_interim() {
                    *progress = Progress::default();
                    continue;
                }
                let mut answering = answering;
                let used = at
                    + match answering.download.begin(cx, stream, output, &bytes[at..]) {
                        Ok(taken) => taken,
                        Err(Cut::Broken(refusal)) => return Err(refusal),
                        Err(_) => return Ok(Some((bytes.len(), Err(Failed::Client)))),
                    };
                return Ok(Some((used, Ok(answering))));
            }
        });
        Poll::Ready(ready!(begun).unwrap_or(Err(Failed::Replica)))
    }

    /// Passes on the rest of both bodies. Whether the client's and the replica's connection can be used again.
    async fn relay<N: Network>(
        &mut self,
        thread: &Thread<N>,
        asking: &mut Asking,
        mut answering: Answering,
        upstream: &mut N::Stream,
        mut arrived: Arrived,
    ) -> (bool, bool) {
        if answering.switches {
            // what has come of the other protocol goes ahead
            asking.upload =
                Flow::of_message(std::mem::take(self.arrived.rest()), Body::new(Framing::UntilClose));
            let early = std::mem::take(arrived.rest());
            answering.download = Flow::of_message(early, Body::new(Framing::UntilClose));
        }
        let done = poll_fn(|cx| {
            let buffers = &mut *thread.buffers.borrow_mut();
            let mut cut = false;
            if !asking.upload.is_ended() {
                let upload = asking.upload.poll(cx, &mut self.stream, upstream, buffers, self.arrived.rest());
                cut = matches!(upload, Poll::Ready(Err(_)));
                if answering.switches && matches!(upload, Poll::Ready(Ok(()))) {
                    // the client sends no more, but may still read
                    let _may_be_closed = Pin::new(&mut *upstream).poll_shutdown(cx);
                }
            }
            let download = answering.download.poll(cx, upstream, &mut self.stream, buffers, arrived.rest());
            match download {
                Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
                Poll::Pending if cut => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        });
        self.deadline.clear();
        let done = done.await && asking.upload.is_ended() && !answering.switches;
        (done && answering.keep_alive, done && answering.keeps && arrived.is_empty())
    }
}

/// Writes a response's head for the client, and says how its body goes.
fn deliver(out: &mut Vec<u8>, response: &Response<'_>, asking: &Asking) -> Answering {
    let is_old = asking.version == Version::Http10;
    if is_old && response.is_interim() {
        out.clear(); // HTTP/1.0 knows none
        return Answering {
            download: Flow::new(Framing::None),
            keeps: true,
            keep_alive: true,
            switches: false,
        };
    }
    let apart = is_old && response.framing == Framing::Chunked;
    let framing = if apart { Framing::UntilClose } else { response.framing };
    // a body that is still to come would be taken for the next request
    let keep_alive = asking.keep_alive && framing != Framing::UntilClose && asking.upload.is_ended();
    let delivery = Delivery { version: asking.version, keep_alive, framing };
    rewrite::response(out, response, &delivery, &[]);
    let download = if apart { Flow::content_only(response.framing) } else { Flow::new(response.framing) };
    Answering { download, keeps: response.keep_alive, keep_alive, switches: response.switches() }
}
