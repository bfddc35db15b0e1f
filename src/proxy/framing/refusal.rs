//! Why a message is not carried.

/// What is wrong with a message. The words are for the client (or the log, where a replica is to blame).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The head is longer than the limit.
    #[error("the header is too long")]
    HeadTooLong,
    /// There are more fields than the limit.
    #[error("the header has too many fields")]
    TooManyFields,
    /// The target is longer than the limit.
    #[error("the URL is too long")]
    TargetTooLong,
    /// Neither 1.0 nor 1.1, nor HTTP/2's preface at the beginning of a connection.
    #[error(
        "HTTP/1.0, HTTP/1.1 and, from a connection's first byte, HTTP/2 are spoken here, no other version"
    )]
    Version,
    /// A tunnel was asked for.
    #[error("CONNECT is for forward proxies, this is a load balancer")]
    Connect,
    /// An expectation other than `100-continue`.
    #[error("no expectation but 100-continue can be met")]
    Expectation,
    /// More empty lines before a request than are passed over.
    #[error("there are empty lines where a request was expected")]
    EmptyLines,
    /// The first line is none of HTTP's.
    #[error("the request line is malformed: it is METHOD SP TARGET SP HTTP/1.1")]
    RequestLine,
    /// The method is no word, or stands for another in other letters.
    #[error("the method is malformed")]
    Method,
    /// The target is neither a path, nor an http URL, nor the `*` of OPTIONS.
    #[error("the URL is malformed")]
    Target,
    /// The first line of a response is none.
    #[error("the status line is malformed")]
    StatusLine,
    /// CR or LF alone.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// A field's name is no word, whitespace follows it, or the field before goes on in this line.
    #[error("a field's name is malformed, followed by whitespace, or a folded line")]
    FieldName,
    /// A field's value has control characters.
    #[error("a field's value has control characters")]
    FieldValue,
    /// Content-Length is no plain number, or too large.
    #[error("Content-Length is not a plain number")]
    ContentLength,
    /// Content-Length comes twice, even if both agree.
    #[error("Content-Length comes more than once")]
    ContentLengths,
    /// Transfer-Encoding is not exactly `chunked`, once.
    #[error("Transfer-Encoding is not exactly 'chunked'")]
    TransferEncoding,
    /// HTTP/1.0 knows no Transfer-Encoding.
    #[error("Transfer-Encoding does not exist in HTTP/1.0")]
    OldTransferEncoding,
    /// Both ways to say where the body ends.
    #[error("there are both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// A field that applications take for one of those that say where the body ends.
    #[error("a field's name is that of a framing field with an underscore")]
    Lookalike,
    /// HTTP/1.1 without Host.
    #[error("Host is missing")]
    NoHost,
    /// Host comes twice.
    #[error("Host comes more than once")]
    Hosts,
    /// Host is not a host with a port.
    #[error("Host is malformed")]
    Host,
    /// Connection has no plain words, or too many.
    #[error("Connection is malformed or names too many fields")]
    Connection,
    /// Max-Forwards is no number, or comes twice.
    #[error("Max-Forwards is not a plain number")]
    MaxForwards,
    /// The path goes by way of another to one that is answered elsewhere, or is put behind another prefix.
    #[error("the URL's '.' and '..' lead to another path: ask for that one")]
    DotSegments,
    /// The listener where the connection came in is gone (RFC 9110, section 15.5.20).
    #[error("nobody listens at this address any more: connect anew")]
    Misdirected,
    /// A connection that has to begin with a PROXY header does not.
    #[error("the connection does not begin with a PROXY header")]
    Preamble,
    /// A chunk's size is no plain hexadecimal number.
    #[error("a chunk's size is malformed or too large")]
    ChunkSize,
    /// A chunk's extension is malformed.
    #[error("a chunk's extension is malformed")]
    ChunkExtension,
    /// The chunks' extensions are too long.
    #[error("the chunks' extensions are too long")]
    ChunkExtensions,
    /// A chunk does not end where its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A trailer is malformed.
    #[error("a trailer is malformed")]
    Trailer,
    /// There are too many trailers, or they are too long.
    #[error("the trailers are too many or too long")]
    Trailers,
    /// A trailer that only a header may hold.
    #[error("a trailer has the name of a field that belongs into the header")]
    ForbiddenTrailer,
    /// A response that has no body announces one.
    #[error("a response without a body announces one")]
    UnexpectedBody,
    /// 101 where nothing was to be switched.
    #[error("a switch of protocols that nobody asked for")]
    UnaskedSwitch,
    /// The connection ended inside a message.
    #[error("the message broke off")]
    Truncated,
}

impl Refusal {
    /// The status that answers a request with this wrong with it. (To a response it is always 502.)
    pub fn status(self) -> u16 {
        match self {
            Refusal::Connect => 405,
            Refusal::TargetTooLong => 414,
            Refusal::Expectation => 417,
            Refusal::Misdirected => 421,
            Refusal::HeadTooLong | Refusal::TooManyFields => 431,
            Refusal::Version => 505,
            _ => 400,
        }
    }
}

impl From<httparse::Error> for Refusal {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName => Refusal::FieldName,
            httparse::Error::HeaderValue => Refusal::FieldValue,
            httparse::Error::NewLine => Refusal::LineEnd,
            httparse::Error::TooManyHeaders => Refusal::TooManyFields,
            httparse::Error::Status | httparse::Error::Version => Refusal::StatusLine,
            httparse::Error::Token => Refusal::RequestLine,
        }
    }
}
