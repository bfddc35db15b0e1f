//! The PROXY header that some connections begin with.

use std::{future::poll_fn, io, rc::Rc, task::Poll};

use super::{
    arrived::NoHead,
    client::{Client, Downstream},
};
use crate::{
    caller::Caller,
    proxy::{
        framing::{Introduction, Preamble},
        thread::Core,
    },
};

impl<S: Downstream> Client<S> {
    /// Takes the PROXY header that the connection has to begin with: it says who the client is. Whether there was one.
    pub(super) async fn take_preamble(&mut self, core: &Core) -> bool {
        let read = poll_fn(|cx| {
            let input = &mut core.buffers.borrow_mut().input;
            let taken = self.arrived.poll_head(cx, &mut self.stream, input, |_, bytes, _| {
                Ok(Preamble::parse(bytes)?.map(|preamble| (preamble.len, preamble.source)))
            });
            match taken {
                Poll::Pending if self.deadline.is_over(cx) || core.is_stopping() => {
                    Poll::Ready(Err(NoHead::Broken(io::ErrorKind::TimedOut.into())))
                }
                taken => taken,
            }
        });
        match read.await {
            Ok(source) => {
                let address = source.unwrap_or(self.door.introduction.caller.address);
                self.door.introduction = introduction(core, Caller { address, is_direct: false });
                true
            }
            Err(why) => {
                tracing::debug!(peer = %self.door.introduction.caller.address, %why, "no PROXY header, closing the connection");
                false
            }
        }
    }
}

/// What replicas are told about this client's connection.
pub(in crate::proxy) fn introduction(core: &Core, caller: Caller) -> Rc<Introduction> {
    Rc::new(Introduction::new(caller, "http", core.config.forwarded))
}
