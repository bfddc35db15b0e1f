//! A second attempt beside a slow one.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use tokio::time::sleep;

use super::{
    answering::Answering,
    asking::Asking,
    attempt::{Attempt, Failed},
    client::{Client, Downstream},
};
use crate::proxy::{exchange::Exchange, retry::Hedge, thread::Core};

/// One attempt; where it is slow, two, of which the first answer counts: `first` is then whose it is.
pub(super) async fn race<S: Downstream>(
    first: &mut Attempt,
    client: &mut Client<S>,
    core: &Core,
    asking: &mut Asking,
    exchange: &mut Exchange,
) -> Result<Answering, Failed> {
    let Some(after) = after(core, asking) else {
        return poll_fn(|cx| first.poll(cx, core, client, asking)).await;
    };
    let mut is_slow = pin!(sleep(after));
    let done = poll_fn(|cx| match first.poll(cx, core, client, asking) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => is_slow.as_mut().poll(cx).map(|()| None),
    });
    if let Some(done) = done.await {
        return done;
    }
    let may = asking.upload.is_read() && asking.can_repeat() && core.take_retry(&asking.way);
    let Some(claim) = may.then(|| core.claim(exchange).ok()).flatten() else {
        return poll_fn(|cx| first.poll(cx, core, client, asking)).await;
    };
    asking.attempts += 1;
    let mut second = Attempt::new(core, &asking.way, claim);
    let mut failed = [false; 2];
    poll_fn(|cx| {
        for at in [0, 1] {
            let attempt = if at == 0 { &mut *first } else { &mut second };
            if failed[at] {
                continue;
            }
            match attempt.poll(cx, core, client, asking) {
                Poll::Ready(Err(_)) if !failed[1 - at] => failed[at] = true,
                Poll::Ready(done) => {
                    if at == 1 {
                        std::mem::swap(first, &mut second);
                    }
                    return Poll::Ready(done);
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// After which time the first counts as slow.
fn after(core: &Core, asking: &Asking) -> Option<Duration> {
    match asking.way.config.exchange.retry.hedge? {
        Hedge::After(after) => Some(after),
        Hedge::P95 => core.links.published.load().table(asking.way.id)?.slow(),
    }
}
