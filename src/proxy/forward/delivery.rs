//! Has a request answered: attempt after attempt, as [`exchange`](crate::proxy::exchange) decides.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll};

use http::{Method, StatusCode};

use super::{
    answering::Answering,
    asking::Asking,
    attempt::{Attempt, Failed},
    client::{After, Client, Downstream, Fault},
    hedge, queue, relay,
};
use crate::{
    proxy::{
        answer::{Answer, Failure},
        exchange::Exchange,
        pool::Way,
        retry::Setback,
        routing::Target,
        thread::Core,
    },
    table::{Replica, Table, Unclaimed},
};

/// Bytes under way to the control API, each direction.
const CONTROL_PIPE: usize = 16 * 1024;

/// Has a request answered by a replica of its pool: by the first candidate that gives a good answer. A bad one is passed
/// on if others were asked in vain.
pub(super) async fn by_pool<S: Downstream>(
    client: &mut Client<S>,
    core: &Rc<Core>,
    asking: &mut Asking,
) -> After {
    let way = asking.way.clone();
    core.count_request(&way);
    if asking.key_in_body > 0 {
        if let Err(fault) = whole(client, core, asking).await {
            return client.fail(core, fault).await;
        }
        let key = &way.config.exchange.key;
        asking.id = key.id_in_body(asking.key_in_body, asking.upload.body()).unwrap_or(asking.id);
    }
    asking.response_at = core.deadlines.after(way.config.response_timeout);
    client.deadline.set_busy(true);
    let mut exchange = Exchange::new(way.id, asking.id, asking.preferred, asking.repeatable);
    let answered = answered(client, core, asking, &mut exchange).await;
    let after = match answered {
        Ok((answering, attempt)) => match replaced(asking, &answering) {
            Some(answer) => {
                relay::discard(core, answering, attempt);
                client.tell(core, Some(asking), &answer).await
            }
            None => relay::pass_on(client, core, asking, answering, attempt).await,
        },
        Err(None) => client.tell(core, Some(asking), &failure(core, asking, &exchange).answer()).await,
        Err(Some(fault)) => client.fail(core, fault).await,
    };
    client.deadline.set_busy(false);
    after
}

/// Has a request answered by the control API.
pub(super) async fn by_control<S: Downstream>(
    client: &mut Client<S>,
    core: &Rc<Core>,
    asking: &mut Asking,
) -> After {
    let (near, far) = tokio::io::duplex(CONTROL_PIPE);
    if core.links.control.send((far, asking.caller)).await.is_err() {
        return client.tell(core, Some(asking), &Failure::Broken.answer()).await;
    }
    let mut attempt = Attempt::with_control(core, &asking.way, near);
    match poll_fn(|cx| attempt.poll(cx, core, client, asking)).await {
        Ok(answering) => relay::pass_on(client, core, asking, answering, attempt).await,
        Err(Failed::Client(fault)) => client.fail(core, fault).await,
        Err(Failed::Setback(_)) => client.tell(core, Some(asking), &Failure::Broken.answer()).await,
    }
}

/// The answer that counts; else the client's fault, or nobody's.
async fn answered<S: Downstream>(
    client: &mut Client<S>,
    core: &Core,
    asking: &mut Asking,
    exchange: &mut Exchange,
) -> Result<(Answering, Attempt), Option<Fault>> {
    let way = asking.way.clone();
    let retry = &way.config.exchange.retry;
    let mut bad = None;
    let mut left: Option<Arc<Replica>> = None;
    loop {
        let claim = match core.claim(exchange) {
            Ok(claim) => claim,
            // who has an answer, if a bad one, holds a place, and does not wait for another
            Err(Unclaimed::Full) if bad.is_none() => {
                match Box::pin(queue::wait(client, core, asking, exchange)).await? {
                    Some(claim) => claim,
                    None => break,
                }
            }
            Err(_) => break,
        };
        if let Some(left) = left.take() {
            left.count_retry();
        }
        asking.attempts += 1;
        let mut attempt = Attempt::new(core, &way, claim);
        let outcome = match retry.hedge.is_some() && asking.repeatable {
            true => Box::pin(hedge::race(&mut attempt, client, core, asking, exchange)).await,
            false => poll_fn(|cx| attempt.poll(cx, core, client, asking)).await,
        };
        left = attempt.replica().cloned();
        let setback = match outcome {
            Ok(answering) if asks_another(&way, &answering) => {
                bad = Some((answering, attempt));
                Setback::Status
            }
            Ok(answering) => return Ok((answering, attempt)),
            Err(Failed::Setback(setback)) => setback,
            Err(Failed::Client(fault)) => return Err(Some(fault)),
        };
        if !exchange.goes_on(setback, asking.upload.is_kept(), || core.take_retry(&way)) {
            break;
        }
    }
    bad.ok_or(None)
}

/// Why nobody answered.
fn failure(core: &Core, asking: &Asking, exchange: &Exchange) -> Failure {
    match exchange.failure() {
        Failure::NoCandidate if is_astray(core, asking) => Failure::Astray,
        failure => failure,
    }
}

/// Whether it went to a pool without replicas because no route takes it.
fn is_astray(core: &Core, asking: &Asking) -> bool {
    matches!(asking.target, Target::Pool(_, None))
        && core.ways().routing.has_routes()
        && core.links.published.load().table(asking.way.id).is_some_and(Table::is_bare)
}

fn asks_another(way: &Way, answering: &Answering) -> bool {
    let status = StatusCode::from_u16(answering.status);
    status.is_ok_and(|status| way.config.exchange.retry.asks_another(status))
}

/// The answer that goes to the client in place of this one, if one does.
fn replaced(asking: &Asking, answering: &Answering) -> Option<Answer> {
    let (path, status) = (asking.path.as_deref()?, StatusCode::from_u16(answering.status).ok()?);
    asking.way.config.exchange.instead_of(status, &Method::GET, path)
}

/// Reads the body that the key is in.
async fn whole<S: Downstream>(client: &mut Client<S>, core: &Core, asking: &mut Asking) -> Result<(), Fault> {
    client.deadline.set(core.config.body_timeout);
    poll_fn(|cx| {
        let buffers = &mut *core.buffers.borrow_mut();
        match asking.upload.poll_whole(cx, client, buffers) {
            Poll::Ready(read) => Poll::Ready(read.map_err(Fault::of)),
            Poll::Pending if client.deadline.is_over(cx) => Poll::Ready(Err(Fault::Slow)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
