//! A response under way to the client.

use super::{asking::Asking, flow::Flow};
use crate::{
    proxy::framing::{
        Framing, Response, Version,
        rewrite::{self, Delivery, Extra},
    },
    table::Replica,
};

/// A response whose head has come.
pub(super) struct Answering {
    pub(super) status: u16,
    pub(super) download: Flow,
    /// Whether the replica keeps its connection.
    pub(super) keeps: bool,
    /// Whether the client's connection can be kept.
    pub(super) keep_alive: bool,
    /// Whether both go on in another protocol.
    pub(super) switches: bool,
    /// Whether the client sees the end of the body only by the end of the connection.
    pub(super) until_close: bool,
}

impl Answering {
    /// Writes the head of this replica's response (or the control API's) for the client, and says how the rest goes.
    pub(super) fn begin(
        out: &mut Vec<u8>,
        response: &Response<'_>,
        asking: &Asking,
        replica: Option<&Replica>,
        set_cookie: Option<&str>,
        is_stopping: bool,
    ) -> Self {
        let apart = asking.version == Version::Http10 && response.framing == Framing::Chunked;
        let framing = if apart { Framing::UntilClose } else { response.framing };
        let until_close = framing == Framing::UntilClose;
        let keep_alive = asking.keep_alive && !until_close && !is_stopping;
        let told = asking.told(replica);
        let told: Vec<Extra<'_>> = told.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let delivery = Delivery { version: asking.version, keep_alive, framing };
        rewrite::response(out, response, &delivery, &told, set_cookie);
        let download = if apart { Flow::content_only(response.framing) } else { Flow::new(response.framing) };
        let (status, keeps, switches) = (response.status, response.keep_alive, response.switches());
        Answering { status, download, keeps, keep_alive, switches, until_close }
    }
}
