//! A request that waits for a replica.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use super::{
    asking::Asking,
    client::{Client, Downstream, Fault},
    deadlines::NEVER,
};
use crate::{
    proxy::{exchange::Exchange, thread::Core},
    table::{
        InFlight, Unclaimed,
        queue::{Asker, Wait},
    },
};

/// Waits in the pool's line until there is a candidate; `None` where there is none in time, which the exchange then knows.
/// The time for the response begins after this, unless a replica was asked before.
pub(super) async fn wait<S: Downstream>(
    client: &mut Client<S>,
    core: &Core,
    asking: &mut Asking,
    exchange: &mut Exchange,
) -> Result<Option<InFlight>, Fault> {
    let asker = Asker { client: asking.caller.address, priority: asking.priority };
    let Ok(mut wait) = core.wait(exchange, &asker) else { return Ok(None) };
    let claimed = poll_fn(|cx| poll(cx, &mut wait, client, core, asking)).await?;
    if asking.attempts == 0 {
        asking.response_at = core.deadlines.after(asking.way.config.response_timeout);
    }
    Ok(claimed.and_then(|claimed| exchange.claimed(claimed).ok()))
}

fn poll<S: Downstream>(
    cx: &mut Context<'_>,
    wait: &mut Wait,
    client: &Client<S>,
    core: &Core,
    asking: &Asking,
) -> Poll<Result<Option<Result<InFlight, Unclaimed>>, Fault>> {
    let now = core.now();
    if let Poll::Ready(claimed) = wait.poll(cx, now) {
        return Poll::Ready(Ok(Some(claimed)));
    }
    let look_at = match client.watch(cx, core) {
        Ok(look_at) => look_at,
        Err(fault) => return Poll::Ready(Err(fault)),
    };
    let response_at = if asking.attempts > 0 { asking.response_at } else { NEVER };
    let at = core.deadlines.after(wait.left(now)).min(look_at).min(response_at);
    // of these only the last may be over already
    if client.deadline.is_over_at(at, cx) { Poll::Ready(Ok(None)) } else { Poll::Pending }
}
